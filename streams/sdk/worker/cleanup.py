"""Calls `on_cancelled` for each cancelled run after it has stopped; at least once, with retries.

If a run was running when it was cancelled, a worker may still execute a step: the cleanup waits
until `runs` shows `stopped_at`, which it does when the worker says so or when the run's lease ends.
A run without a lease may never stop, so its cleanup waits for a limited time only. This process
follows `runs`, and for runs that stopped before the process started, it reads `runs` again from the
time of the cancel on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final, NamedTuple

from confluent_kafka import Message

from streams import logs
from streams.clock import now_ms
from streams.errors import NotAllowedError, RecordRefusedError
from streams.kafka.headers import headers_of
from streams.sdk.app import App, CleanUp
from streams.sdk.calls import call_cleanup
from streams.sdk.cancelled_run import CancelledRun
from streams.sdk.execution import described
from streams.sdk.retries import Retries
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.records import read_cancellation, slug_of
from streams.sdk.worker.waiting import Cancellation, Waiting
from topology import limits
from topology.statuses import Status

_AT_ONCE: Final = 100
_MOST_OPEN: Final = 1_000
log = logs.get(__name__)


class Letter(NamedTuple):
    """A cleanup that failed and isn't tried again, for the topic `dead-letters`."""

    cancellation: Cancellation
    partition: int
    offset: int
    error: BaseException


class Effort(NamedTuple):
    """How long and how often cleanups are tried.

    Attributes:
        retries: How a failing cleanup is called again.
        look_again_s: The waits between looks for stopped runs; the last wait is repeated.
        stop_within_ms: How long after its cancel a run without a lease is waited for.
        remembered: How many stopped, and how many cleaned up, runs are remembered.
    """

    retries: Retries = Retries(attempts=10, backoff="1s", longest="1m")
    look_again_s: tuple[float, ...] = (1.0, 5.0, 15.0, 60.0)
    stop_within_ms: int = 10 * limits.MINUTE_MS
    remembered: int = 100_000


class Calls(NamedTuple):
    """The functions of the process that cleanups call.

    Attributes:
        done: Called with the partition and offset of a record that needn't be read again.
        bury: Writes a dead letter.
        look_for: Takes run ids with the times of their cancels (ms since 1970), and calls a
            function with the id of each that has stopped; whether it has read all; it blocks.
        leased: The functions among these all of whose runs have a lease; it blocks.
    """

    done: Callable[[int, int], None]
    bury: Callable[[Letter], Awaitable[None]]
    look_for: Callable[[dict[str, int], Callable[[str], None]], bool]
    leased: Callable[[Collection[str]], set[str]]


class Cleanups:
    """Handler of the cleanups' reader; the methods that aren't a handler's run on the loop."""

    def __init__(  # noqa: PLR0913, PLR0917  # its parts
        self,
        app: App,
        executor: Executor,
        loop: asyncio.AbstractEventLoop,
        calls: Calls,
        ignored: Ignored,
        effort: Effort,
    ) -> None:
        """Call the cleanups of `app`; those that aren't coroutines in `executor`."""
        self._cleanups = app.cleanups
        self._executor = executor
        self._loop = loop
        self._calls = calls
        self._ignored = ignored
        self._effort = effort
        self._stopped: OrderedDict[str, None] = OrderedDict()
        self._handled: OrderedDict[str, None] = OrderedDict()
        # By run: the places of its records, while it waits or is cleaned up.
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._waiting = Waiting()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether so many cleanups are open, or wait, that the reader should pause."""
        return len(self._tasks) > _MOST_OPEN or self._waiting.bytes > limits.WAITING_CLEANUPS_BYTES

    # In the reader's thread

    def select(self, message: Message) -> Cancellation | None:
        """The cancelled run of a record; None if the app has no cleanup for it."""
        value = message.value()
        headers = self._ignored.unless_read(message, lambda: headers_of(message))
        if slug_of(headers) not in self._cleanups:
            return None
        run = self._ignored.unless_read(message, lambda: read_cancellation(headers, value))
        if run is None:
            return None
        assert isinstance(value, bytes), "it was just read"
        return Cancellation(run, value, message.timestamp()[1])

    def knows(self, name: str) -> bool:  # noqa: ARG002  # as the protocol has it
        """Whether the app has a cleanup of this name; none is ever left to others."""
        return False

    def deliver(self, found: list[tuple[int, int, object]]) -> None:
        """Start the cleanups on the loop."""
        self._loop.call_soon_threadsafe(self._take, found)

    def assigned(self, partitions: set[int]) -> None:
        """Do nothing: cleanups need no preparation."""

    def revoked(self, partitions: set[int]) -> None:
        """Do nothing: cleanups go on, and other workers may repeat them (at least once)."""

    # On the loop

    def stopped(self, run_ids: Iterable[str]) -> None:
        """Note that `runs` shows these runs as stopped."""
        for run_id in run_ids:
            self._remember(self._stopped, run_id)
            self._release(run_id, stopped=True)

    async def look_after(self) -> None:
        """Look for stops that this process didn't see, ever more rarely; until cancelled."""
        looks, waits = 0, self._effort.look_again_s
        while True:
            await asyncio.sleep(waits[min(looks, len(waits) - 1)])
            looks = looks + 1 if self._waiting else 0
            if self._waiting:
                await self._look()

    async def _look(self) -> None:
        times = self._waiting.times()
        if not await asyncio.to_thread(self._calls.look_for, times, self._found):
            return  # what hasn't been read may have said that they stopped
        before_ms = now_ms() - self._effort.stop_within_ms
        late = {
            run_id: function_id
            for run_id, function_id in self._waiting.functions(before_ms).items()
            if run_id in times
        }
        if not late:
            return
        leased = await asyncio.to_thread(self._calls.leased, set(late.values()))
        for run_id, function_id in late.items():
            if function_id not in leased:
                log.warning("A cancelled run never stopped: it is cleaned up", run_id=run_id)
                self._release(run_id, stopped=False)

    def _found(self, run_id: str) -> None:
        self._loop.call_soon_threadsafe(self.stopped, [run_id])

    def _take(self, found: list[tuple[int, int, object]]) -> None:
        for partition, offset, work in found:
            assert isinstance(work, Cancellation)
            run = work.run
            if run.run_id in self._places:
                self._places[run.run_id].append((partition, offset))
                continue
            self._places[run.run_id] = [(partition, offset)]
            known = run.run_id in self._stopped or run.run_id in self._handled
            if run.status_before == Status.RUNNING and not known:
                self._waiting.add(work)
            else:
                self._start(work, stopped=True)

    def _release(self, run_id: str, *, stopped: bool) -> None:
        cancellation = self._waiting.take(run_id)
        if cancellation is not None:
            self._start(cancellation, stopped=stopped)

    def _start(self, cancellation: Cancellation, *, stopped: bool) -> None:
        run = replace(cancellation.run, stopped=stopped)
        task = self._loop.create_task(self._handle(cancellation._replace(run=run)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, cancellation: Cancellation) -> None:
        run_id = cancellation.run.run_id
        done = run_id in self._handled
        if not done:
            async with self._slots:
                done = await self._is_over(cancellation)
        places = self._places.pop(run_id)
        if done:
            self._remember(self._handled, run_id)
            for place in places:
                self._calls.done(*place)

    async def _is_over(self, cancellation: Cancellation) -> bool:
        """Clean up, or write a dead letter; whether the record needn't be read again."""
        run = cancellation.run
        try:
            await self._clean_up(self._cleanups[run.function_id], run)
        except BaseException as error:
            if _is_told_to_end():
                raise
            log.exception("A cleanup failed for good", run_id=run.run_id)
            letter = Letter(cancellation, *self._places[run.run_id][0], error)
            try:
                await self._calls.bury(letter)
            except NotAllowedError:
                return False  # it is read again once this worker may write
            except RecordRefusedError as refused:
                log.warning("A dead letter is refused", run_id=run.run_id, error=str(refused))
        return True

    async def _clean_up(self, call: CleanUp, run: CancelledRun) -> None:
        attempt, retries = 0, self._effort.retries
        while True:
            attempt += 1
            try:
                await call_cleanup(call, run, self._executor)
            except BaseException as error:
                if _is_told_to_end() or not retries.again(attempt, error):
                    raise
                log.warning("A cleanup failed", run_id=run.run_id, error=described(error))
                await asyncio.sleep(retries.wait_ms(attempt) / 1000)
            else:
                return

    def _remember(self, known: OrderedDict[str, None], run_id: str) -> None:
        known[run_id] = None
        if len(known) > self._effort.remembered:
            known.popitem(last=False)


def _is_told_to_end() -> bool:
    """Whether this task is cancelled, as all are when the process ends."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
