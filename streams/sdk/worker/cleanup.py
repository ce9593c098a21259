"""Calls `on_cancelled` for each cancelled run after it has stopped; at least once, with retries.

If a run was running when it was cancelled, a worker may still execute a step: the cleanup waits
until `runs` shows `stopped_at`. This process follows `runs`, and for runs that stopped before the
process started, it reads `runs` again from the time of the cancel on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import Final, NamedTuple

from confluent_kafka import Message

from streams import logs
from streams.sdk.app import App, CleanUp
from streams.sdk.calls import call_cleanup
from streams.sdk.cancelled_run import CancelledRun, read_cancelled
from streams.sdk.retries import Retries
from streams.sdk.worker.intake import slug_of
from topology.codec import CodecError
from topology.statuses import Status

_AT_ONCE: Final = 100
_MOST_OPEN: Final = 1_000
log = logs.get(__name__)


class Cancellation(NamedTuple):
    """A record of `cancelled`: its run, its value, and its timestamp (ms since 1970)."""

    run: CancelledRun
    value: bytes
    received_ms: int


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
        remembered: How many stopped, and how many cleaned up, runs are remembered.
    """

    retries: Retries = Retries(attempts=10, backoff="1s", longest="1m")
    look_again_s: tuple[float, ...] = (1.0, 5.0, 15.0, 60.0)
    remembered: int = 100_000


class Calls(NamedTuple):
    """The functions of the process that cleanups call.

    Attributes:
        done: Called with the partition and offset of a record that needn't be read again.
        bury: Writes a dead letter.
        look_for: Takes run ids with the times of their cancels (ms since 1970), and returns the
            ids of those that have stopped; it blocks.
    """

    done: Callable[[int, int], None]
    bury: Callable[[Letter], Awaitable[None]]
    look_for: Callable[[dict[str, int]], set[str]]


_EFFORT: Final = Effort()


class Cleanups:
    """Handler of the cleanups' reader; the methods that aren't a handler's run on the loop."""

    def __init__(
        self,
        app: App,
        executor: Executor,
        loop: asyncio.AbstractEventLoop,
        calls: Calls,
        effort: Effort = _EFFORT,
    ) -> None:
        """Call the cleanups of `app`; those that aren't coroutines in `executor`."""
        self._cleanups = app.cleanups
        self._executor = executor
        self._loop = loop
        self._done, self._bury, self._look_for = calls
        self._effort = effort
        self._stopped: OrderedDict[str, None] = OrderedDict()
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._under_way: dict[str, list[tuple[int, int]]] = {}
        self._waiting: dict[str, tuple[int, asyncio.Event]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether so many cleanups are open that the reader should pause."""
        return len(self._tasks) > _MOST_OPEN

    # In the reader's thread

    def select(self, message: Message) -> Cancellation | None:
        """The cancelled run of a record; None if the app has no cleanup for it."""
        if slug_of(message) not in self._cleanups:
            return None
        try:
            run = read_cancelled(message.value() or b"")
        except CodecError as error:
            log.warning("A cancelled event can't be read", error=str(error))
            return None
        return Cancellation(run, message.value() or b"", message.timestamp()[1])

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
            if run_id in self._waiting:
                self._waiting[run_id][1].set()

    async def look_after(self) -> None:
        """Look for stops that this process didn't see, ever more rarely; until cancelled."""
        looks, waits = 0, self._effort.look_again_s
        while True:
            await asyncio.sleep(waits[min(looks, len(waits) - 1)])
            looks = looks + 1 if self._waiting else 0
            if self._waiting:
                asked = {run_id: since for run_id, (since, _) in self._waiting.items()}
                self.stopped(await asyncio.to_thread(self._look_for, asked))

    def _take(self, found: list[tuple[int, int, object]]) -> None:
        for partition, offset, work in found:
            assert isinstance(work, Cancellation)
            task = self._loop.create_task(self._handle(partition, offset, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, partition: int, offset: int, cancellation: Cancellation) -> None:
        run = cancellation.run
        if run.run_id in self._under_way:
            self._under_way[run.run_id].append((partition, offset))
            return
        places = self._under_way[run.run_id] = [(partition, offset)]
        if run.run_id not in self._handled:
            if run.status_before == Status.RUNNING:
                await self._has_stopped(run.run_id, cancellation.received_ms)
            async with self._slots:
                try:
                    await self._clean_up(self._cleanups[run.function_id], run)
                except (Exception, SystemExit) as error:  # kept as a dead letter
                    log.exception("A cleanup failed for good", run_id=run.run_id)
                    await self._bury(Letter(cancellation, partition, offset, error))
            self._remember(self._handled, run.run_id)
        del self._under_way[run.run_id]
        for place in places:
            self._done(*place)

    async def _has_stopped(self, run_id: str, received_ms: int) -> None:
        if run_id in self._stopped:
            return
        _, event = self._waiting.setdefault(run_id, (received_ms, asyncio.Event()))
        await event.wait()
        self._waiting.pop(run_id, None)

    async def _clean_up(self, call: CleanUp, run: CancelledRun) -> None:
        attempt, retries = 0, self._effort.retries
        while True:
            attempt += 1
            try:
                await call_cleanup(call, run, self._executor)
            except (Exception, SystemExit) as error:
                if not retries.again(attempt, error):
                    raise
                log.warning("A cleanup failed", run_id=run.run_id, error=repr(error))
                await asyncio.sleep(retries.wait_ms(attempt) / 1000)
            else:
                return

    def _remember(self, known: OrderedDict[str, None], run_id: str) -> None:
        known[run_id] = None
        if len(known) > self._effort.remembered:
            known.popitem(last=False)
