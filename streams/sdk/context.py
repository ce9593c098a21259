"""Contexts, the arguments of functions: the event, the run, and ways to execute steps."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast, overload

from streams.durations import parse_instant, parse_wait
from streams.logs import FieldsAdapter
from streams.sdk.cancelled_run import Event
from streams.sdk.execution import Begin, Execution
from streams.sdk.retries import Retries, written
from topology.records import Json

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("streams.function")


class _Run:
    """The attributes of a run that both kinds of contexts have.

    Attributes:
        event: The event that triggered the run.
        logger: A logger that adds the function, run and attempt to each line.
    """

    def __init__(self, execution: Execution, event: Event) -> None:
        self._execution = execution
        self.event = event
        self.logger = FieldsAdapter(
            log, {"function_id": self.function_id, "run_id": self.run_id, "attempt": self.attempt}
        )

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._execution.run_id

    @property
    def function_id(self) -> str:
        """The function's slug."""
        return self._execution.function_id

    @property
    def attempt(self) -> int:
        """Which dispatch of the run this is, from 1."""
        return self._execution.attempt

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled; a long step may check this, and end early."""
        return self._execution.cancelled

    @property
    def cause(self) -> Json:
        """Why the run was cancelled: `data.cause` of `function.cancelled`; None if it was not."""
        return self._execution.cause


class Step:
    """Executes the steps of a coroutine.

    A step's outcome is recorded: a later attempt of the run gets the outcome without executing the
    step again (S34). Each attempt repeats what a function does outside of steps.
    """

    def __init__(self, execution: Execution, executor: Executor, retries: Retries) -> None:
        self._execution = execution
        self._executor = executor
        self._retries = retries

    def with_retries(self, retries: Retries) -> "Step":
        """A `Step` for the same run, whose steps are tried again as `retries` says."""
        return Step(self._execution, self._executor, retries)

    @overload
    async def run(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def run(
        self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def run(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Execute `fn`, a coroutine or (in a thread) a plain function, and record its result.

        The result must be a JSON value, and is returned as decoded from JSON: a tuple as a list.

        Raises:
            Cancelled: The run was cancelled before `fn` was called, or while `fn` ran to its end.
            StepError: `fn` failed and its retries are used up, or its result can't be recorded.
        """
        execute = self._here if inspect.iscoroutinefunction(fn) else self._in_thread
        call = partial(execute, partial(fn, *args, **kwargs))
        return await self._execution.step(name, call, self._retries)

    async def sleep(self, name: str, duration: str | timedelta) -> None:
        """Sleep, for such as `90s`; in a long sleep the run leaves the worker, and outlives it.

        A duration of zero or less is over at once, as an instant in the past is.

        Raises:
            Cancelled: The run was cancelled.
        """
        await self._execution.sleep(name, wait_ms(duration))

    async def sleep_until(self, name: str, instant: str | datetime) -> None:
        """Sleep until an instant: RFC 3339 text, or a `datetime` with a time zone.

        Raises:
            Cancelled: The run was cancelled.
        """
        await self._execution.sleep_until(name, instant_ms(instant))

    async def _here(self, call: Callable[[], Awaitable[T]], begin: Begin) -> T:
        begin()
        return await call()

    async def _in_thread(self, call: Callable[[], object], begin: Begin) -> object:
        loop = asyncio.get_running_loop()
        run = copy_context().run
        future = loop.run_in_executor(self._executor, run, _contained, call, begin)
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            await asyncio.wait([future])  # a thread can't be stopped
            raise
        result = future.result()
        # A lambda, or an object with `__call__`, may return a coroutine.
        return await result if inspect.isawaitable(result) else result


class BlockingStep:
    """Executes the steps of a plain function; see `Step`."""

    def __init__(
        self, execution: Execution, loop: asyncio.AbstractEventLoop, retries: Retries
    ) -> None:
        self._execution = execution
        self._loop = loop
        self._retries = retries

    def with_retries(self, retries: Retries) -> "BlockingStep":
        """A `BlockingStep` for the same run, whose steps are tried again as `retries` says."""
        return BlockingStep(self._execution, self._loop, retries)

    def run(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Execute `fn` in this thread, and record its result; see `Step.run`."""
        here = _Here(self._loop)
        call = partial(here.call, partial(fn, *args, **kwargs))
        return cast("T", here.wait(self._execution.step(name, call, self._retries)))

    def sleep(self, name: str, duration: str | timedelta) -> None:
        """Sleep for a duration; see `Step.sleep`."""
        _Here(self._loop).wait(self._execution.sleep(name, wait_ms(duration)))

    def sleep_until(self, name: str, instant: str | datetime) -> None:
        """Sleep until an instant; see `Step.sleep_until`."""
        _Here(self._loop).wait(self._execution.sleep_until(name, instant_ms(instant)))


class Context(_Run):
    """The argument of a function that is a coroutine."""

    def __init__(self, execution: Execution, event: Event, step: Step) -> None:
        super().__init__(execution, event)
        self.step = step


class BlockingContext(_Run):
    """The argument of a plain function."""

    def __init__(self, execution: Execution, event: Event, step: BlockingStep) -> None:
        super().__init__(execution, event)
        self.step = step


def wait_ms(duration: str | timedelta) -> int:
    """How long to sleep, in ms; 0 for zero or less.

    Raises:
        ValueError: The text isn't a duration, or the duration is over 366 days.
    """
    if isinstance(duration, timedelta):
        duration = written(max(duration, timedelta()))
    return parse_wait(duration)


def instant_ms(instant: str | datetime) -> int:
    """An instant in ms since 1970.

    Raises:
        ValueError: The text isn't RFC 3339, or the `datetime` has no time zone.
    """
    if isinstance(instant, str):
        return parse_instant(instant)
    if instant.tzinfo is None:
        raise ValueError("sleep_until needs a time zone: datetime(…, tzinfo=UTC)")
    return round(instant.timestamp() * 1000)


class _Here:
    """Lets a plain function's thread wait for the event loop, and execute step functions meanwhile.

    So a step's function runs in the thread of its run, with that thread's locals and connections.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; executes calls of `call` meanwhile."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        future.add_done_callback(lambda _: self._asked.put(None))
        while (asked := self._asked.get()) is not None:
            asked()
        return future.result()

    async def call(self, call: Callable[[], T], begin: Begin) -> T:
        """Execute a function in the waiting thread, and return its result."""
        done: asyncio.Future[T] = self._loop.create_future()
        context = copy_context()

        def asked() -> None:
            try:
                result = context.run(_contained, call, begin)
            except BaseException as error:  # noqa: BLE001  # the caller gets it
                self._loop.call_soon_threadsafe(done.set_exception, error)
            else:
                self._loop.call_soon_threadsafe(done.set_result, result)

        self._asked.put(asked)
        return await done


def _contained(call: Callable[[], T], begin: Begin) -> T:
    begin()
    try:
        return call()
    except StopIteration as error:  # a future can't hold a StopIteration
        raise RuntimeError(f"StopIteration: {error}") from error
