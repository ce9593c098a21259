"""One attempt of a run: its steps, in the order of the durable truth.

1. a run that was cancelled, or is no longer ours, takes no step
2. a step whose outcome was recorded gets that outcome, and isn't executed
3. else it is executed, again and again as its retries allow
4. its outcome is recorded; only then does the function go on

Steps may go on beside each other. A cancel, or a long sleep, then waits for those that execute:
the function hears of it once nothing of its run executes any more.

All of it happens on the event loop. Where records go is the `Journal`'s business, so that the
testing kit executes functions with the same code as a worker.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import orjson
from msgspec import UNSET, Raw

from streams.durations import format_duration
from streams.sdk.errors import Cancelled, StepError, Suspended
from streams.sdk.retries import Retries
from topology import limits
from topology.records import Json, StepFailure, StepRecord

# What JSON can't give back as it was is refused, not changed in silence.
_STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


# The execution in one of whose steps code runs.
_inside: Final[ContextVar["Execution | None"]] = ContextVar("step", default=None)


Begin: TypeAlias = Callable[[], None]
"""Called right before a step's function, by the thread that calls it; raises `NotBegunError`."""

StepCall: TypeAlias = Callable[[Begin], Awaitable[Any]]
"""Calls a step's function, perhaps in another thread, which may be waited for."""


class NotBegunError(Exception):
    """The run ended while a step waited for its thread: its function isn't called."""


class Journal(Protocol):
    """Where the outcomes of steps go, and what time it is there."""

    def now_ms(self) -> int:
        """The time, in ms since 1970."""

    def parks(self, wait_ms: int) -> bool:
        """Whether a run that sleeps so long leaves the worker meanwhile."""

    async def record(self, record: StepRecord) -> None:
        """Make an outcome durable; returns when it is.

        Raises:
            Suspended: The run is no longer ours.
        """

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        """Let the run sleep without this worker, and make the sleep durable if it is new."""

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        """Let time pass, or less where `ended` is set before."""


class Execution:
    """One attempt of a run as its function sees it.

    Attributes:
        cancelled: Whether the run was cancelled.
        cause: Why it was.
        suspended: Whether this attempt ends here without an end of the run.
    """

    def __init__(  # noqa: PLR0913  # what an attempt is
        self,
        run_id: str,
        function_id: str,
        attempt: int,
        *,
        sleeps_at_most_ms: int,
        recorded: Mapping[str, StepRecord],
        journal: Journal,
    ) -> None:
        """`recorded`: the outcomes of earlier attempts' steps, by step."""
        self.run_id = run_id
        self.function_id = function_id
        self.attempt = attempt
        self.cancelled = False
        self.cause: Json = None
        self.suspended = False
        self._sleeps_at_most_ms = sleeps_at_most_ms
        self._recorded = recorded
        self._journal = journal
        self._used: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._executing: dict[str, None] = {}
        self._waiting = 0
        self._unrecorded: dict[str, StepRecord] = {}
        self._sleeping: dict[str, int] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._woken = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._leaving = False
        self._over = False

    @property
    def executing(self) -> str | None:
        """The step that is being executed, the first if there are several; None between steps."""
        return next(iter(self._executing), None)

    def cancel(self, cause: Json) -> None:
        """The run was cancelled: no new step starts, a sleep ends (S32)."""
        self.cancelled, self.cause = True, cause
        self._interrupt()

    def suspend(self) -> None:
        """The run is no longer ours: no new step starts, and nothing more is said of it."""
        self.suspended = True
        self._interrupt()

    def leave(self) -> None:
        """Hand the run over to another worker at its next step, or in its sleep."""
        self._leaving = True
        self._interrupt()

    async def finish(self) -> None:
        """The function has ended: steps that it left behind end, and none starts any more."""
        self._over = True
        self._interrupt()
        await self._until_quiet()

    async def step(self, name: str, call: StepCall, retries: Retries) -> Json:
        """The outcome of a step, executed unless it was before.

        Raises:
            Cancelled: The run was cancelled.
            Suspended: The run goes on elsewhere.
            StepError: The step failed for good.
        """
        return await self._step(self._key(name), call, retries)

    async def sleep(self, name: str, duration_ms: int) -> None:
        """Sleep for so long, counted from the first attempt that came here."""
        await self._sleep(self._key(name), lambda: self._journal.now_ms() + duration_ms)

    async def sleep_until(self, name: str, wake_at: int) -> None:
        """Sleep until a time in ms since 1970; one that has passed costs nothing more."""
        await self._sleep(self._key(name), lambda: wake_at)

    async def _step(self, key: str, call: StepCall, retries: Retries) -> Json:
        await self._check(key)
        outcome = self._recorded.get(key)
        if outcome is None:
            outcome = await self._execute(key, call, retries)
        if outcome.error is not UNSET:
            error = outcome.error
            raise StepError(key, error.code, error.attempts, error.message)
        if outcome.result is UNSET:
            raise _changed(key)
        return orjson.loads(bytes(outcome.result))

    async def _sleep(self, key: str, wake_at: Callable[[], int]) -> None:
        await self._check(key)
        record = self._recorded.get(key)
        if record is None:
            record = StepRecord(
                run_id=self.run_id, step=key, attempt=self.attempt, wake_at=wake_at()
            )
            self._refuse_too_long(key, record)
            self._unrecorded[key] = record
        if record.wake_at is UNSET:
            raise _changed(key)
        self._sleeping[key] = record.wake_at
        try:
            await self._wait_until(key, record.wake_at)
        finally:
            del self._sleeping[key]
        await self._record_sleep(key)
        await self._check(key)

    async def _wait_until(self, key: str, wake_at: int) -> None:
        while (left := wake_at - self._journal.now_ms()) > 0:
            if self._journal.parks(left):
                await self._park_or_wait(key, left)
            else:
                await self._record_sleep(key)
                with self._waits():
                    await self._journal.wait(left, self._interrupted)
            await self._check(key)

    def _refuse_too_long(self, key: str, record: StepRecord) -> None:
        assert record.wake_at is not UNSET, "a sleep has an end"
        if record.wake_at - self._journal.now_ms() > self._sleeps_at_most_ms:
            longest = format_duration(self._sleeps_at_most_ms)
            raise ValueError(
                f"step {key!r} sleeps longer than runs are kept (pending_for {longest})"
            )

    async def _park_or_wait(self, key: str, left: int) -> None:
        """Leave the worker, once nothing else of the run goes on in it."""
        await asyncio.sleep(0)  # what goes on beside this sleep comes to its own
        if self._is_quiet:
            for other in [one for one in self._unrecorded if one != key]:
                await self._record_sleep(other)
            await self._stop_if_ended()
            await self._park(key, min(self._sleeping.values()))
        await self._record_sleep(key)
        self._woken.clear()
        if not (self._is_quiet or self._interrupted.is_set()):
            await self._journal.wait(left, self._woken)

    async def _park(self, key: str, wake_at: int) -> None:
        """The run goes on from here later, or elsewhere; `key`: a sleep, recorded if it is new.

        Raises:
            Suspended: Always.
        """
        self.suspend()
        await self._journal.park(self._unrecorded.pop(key, None), wake_at)
        raise Suspended

    async def _record_sleep(self, key: str) -> None:
        record = self._unrecorded.pop(key, None)
        if record is not None:
            with self._waits():
                await self._record(record)

    async def _record(self, record: StepRecord) -> None:
        try:
            await self._journal.record(record)
        except Suspended:
            self.suspend()
            raise

    async def _execute(self, key: str, call: StepCall, retries: Retries) -> StepRecord:
        """Execute a step until it has an outcome, and record that."""
        attempt = 0
        while True:
            attempt += 1
            with self._executes(key):
                outcome = await self._try(key, call, attempt, retries)
                if outcome is not None and not (self.cancelled or self.suspended):
                    await self._record(outcome)
            await self._stop_if_ended()
            if outcome is not None:
                return outcome
            with self._waits():
                await self._journal.wait(retries.wait_ms(attempt), self._interrupted)
            await self._check(key)

    async def _try(
        self, key: str, call: StepCall, attempt: int, retries: Retries
    ) -> StepRecord | None:
        """What a step comes to; None if it is to be tried again, or hasn't begun."""
        try:
            return self._succeeded(key, await call(partial(self._begin, key)), attempt)
        except NotBegunError:
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001  # retries decide
            if retries.again(attempt, error):
                return None
            return self._failed(key, code_of(error), text_of(error), attempt)

    def _begin(self, key: str) -> None:  # noqa: ARG002  # the testing kit asks for it
        """A step begins, in whatever thread; not one that was overtaken by its run's end."""
        if self.cancelled or self.suspended or self._over:
            raise NotBegunError

    def _succeeded(self, key: str, result: object, attempt: int) -> StepRecord:
        try:
            data = orjson.dumps(result, option=_STRICT)
        except TypeError as error:
            return self._failed(key, "NotJson", f"the result of step {key!r}: {error}", attempt)
        if b"null" in data and not _is_finite(result):
            message = f"the result of step {key!r} has a number that JSON has not: NaN or infinity"
            return self._failed(key, "NotJson", message, attempt)
        if len(data) > limits.STEP_RESULT_BYTES:
            message = (
                f"the result of step {key!r} has {len(data)} bytes, at most "
                f"{limits.STEP_RESULT_BYTES} are kept: store it elsewhere and return where"
            )
            return self._failed(key, "TooLarge", message, attempt)
        return StepRecord(run_id=self.run_id, step=key, attempt=self.attempt, result=Raw(data))

    def _failed(self, key: str, code: str, message: str, attempts: int) -> StepRecord:
        failure = StepFailure(code=code, message=shortened(message), attempts=attempts)
        return StepRecord(run_id=self.run_id, step=key, attempt=self.attempt, error=failure)

    async def _check(self, key: str) -> None:
        """Go on only with a run that is ours and wasn't cancelled."""
        if _inside.get() is self:
            raise RuntimeError("a step can't have steps of its own: only its outcome is recorded")
        await self._stop_if_ended()
        if self._leaving:
            await self._until_quiet()
            await self._stop_if_ended()
            await self._park(key, self._journal.now_ms())

    async def _stop_if_ended(self) -> None:
        if self.cancelled and not self.suspended:
            await self._until_quiet()
        if self.suspended or (self._over and not self.cancelled):
            raise Suspended
        if self.cancelled:
            raise Cancelled(self.cause)

    # What goes on beside each other

    @property
    def _is_quiet(self) -> bool:
        return not (self._executing or self._waiting)

    @contextmanager
    def _executes(self, key: str) -> Iterator[None]:
        """A step executes, and then its outcome is recorded."""
        token = _inside.set(self)
        self._executing[key] = None
        self._quiet.clear()
        try:
            yield
        finally:
            _inside.reset(token)
            del self._executing[key]
            self._became_quieter()

    @contextmanager
    def _waits(self) -> Iterator[None]:
        """Something of the run waits here, and goes on soon."""
        self._waiting += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            self._became_quieter()

    def _became_quieter(self) -> None:
        if self._is_quiet:
            self._quiet.set()
            self._woken.set()

    def _interrupt(self) -> None:
        self._interrupted.set()
        self._woken.set()

    async def _until_quiet(self) -> None:
        while not self._is_quiet:
            await self._quiet.wait()

    def _key(self, name: str) -> str:
        """The name, numbered from its second use in the run on."""
        if not 0 < len(name) <= limits.STEP_CHARS - len(f":{limits.STEPS_PER_RUN}"):
            raise ValueError(f"a step's name has 1 to 250 characters, not {len(name)}")
        number = self._used[name]
        self._used[name] += 1
        key = f"{name}:{number}" if number else name
        if key in self._keys:
            raise ValueError(f"two steps are called {key!r}: a name's second use is numbered so")
        self._keys.add(key)
        return key


def _changed(key: str) -> RuntimeError:
    return RuntimeError(
        f"step {key!r} was of another kind in an earlier attempt of this run: "
        "give changed steps new names"
    )


def code_of(error: BaseException) -> str:
    """The code of an error: its attribute `code` if that is a string, else its class's name."""
    code = getattr(error, "code", None)
    return _encodable(code) if isinstance(code, str) else type(error).__name__


def text_of(error: BaseException) -> str:
    """What an error says, or its class where it says nothing, or fails to."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # an error's own text is somebody's code
        return type(error).__name__


def shortened(message: str) -> str:
    """As much of a message as a record may hold."""
    return _encodable(message).encode()[: limits.ERROR_MESSAGE_BYTES].decode(errors="ignore")


def _encodable(text: str) -> str:
    """Without what UTF-8 hasn't: names of files may have such characters."""
    return text.encode(errors="replace").decode()


def _is_finite(value: object) -> bool:
    """Whether no number in a JSON value is NaN or infinite, which would be written as null."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))
