"""The runs of one worker, on the event loop.

The order, which is the guarantee (S31, S32, S34):

1. a dispatch is read, a claim is written
2. `runs` shows the claim accepted; the outcomes of earlier attempts' steps are looked up
3. the function is called; each step's outcome is committed before it goes on
4. `runs` shows a cancel: no new step starts, a sleep ends, the executing step runs to its end
5. the last word is written: completed, failed, sleeping, or stopped after a cancel
6. `runs` shows it: the run is forgotten here

A crash anywhere leaves the claim to its lease: the run is dispatched again, and 2 knows the steps.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from streams import logs
from streams.crash import crash_at
from streams.sdk.calls import call_function
from streams.sdk.cancelled_run import Event
from streams.sdk.errors import Suspended
from streams.sdk.execution import Execution
from streams.sdk.worker.claimed import Held, Phase, Verdict, verdict
from streams.sdk.worker.dispatches import Dispatch, Dispatches
from streams.sdk.worker.history import History
from streams.sdk.worker.journal import Journal, Outgoing, monotonic
from streams.sdk.worker.updates import Words
from topology import limits
from topology.records import Json, RunRecord, StepRecord

_TICK_S: Final = 0.25
_BEATS_PER_LEASE: Final = 4
# As many as routers take would, with attempts of some digits, be larger than they take.
_BEATEN_AT_ONCE: Final = limits.HEARTBEAT_RUNS // 2
_log = logs.get(__name__)


class Figures(Protocol):
    """What a worker counts."""

    def ended(self, outcome: str) -> None:
        """A run left this worker."""

    def took_step(self) -> None:
        """A step's outcome was recorded."""

    def overran(self) -> None:
        """A cancelled run's step goes on for longer than is usual."""

    def holds(self, runs: int, overrunning: int) -> None:
        """How many runs there are now, and how many of them overrun."""


class Limits(msgspec.Struct, frozen=True):
    """How much a worker does, and how long it waits."""

    concurrency: int
    park_after_ms: int
    overrun_s: float


class Worker:
    """Everything that a worker decides; other threads only read and write Kafka for it."""

    def __init__(  # noqa: PLR0913, PLR0917  # its parts
        self,
        words: Words,
        journal: Journal,
        history: History,
        bounds: Limits,
        figures: Figures,
        done: Callable[[int, int], None],
    ) -> None:
        """`done(partition, offset)`: a dispatch needn't be read again."""
        self.held: dict[str, Held] = {}
        self.dispatches = Dispatches()
        self._words = words
        self._journal = journal
        self._history = history
        self._bounds = bounds
        self._figures = figures
        self._done = done
        self._executor = ThreadPoolExecutor(bounds.concurrency, thread_name_prefix="function")
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beaten_at = monotonic()
        self._limiter = logs.Limiter()
        self._is_leaving = False

    # 1: dispatches and claims

    @property
    def is_full(self) -> bool:
        """Whether there are enough dispatches to choose from."""
        return len(self.dispatches) >= 2 * self._bounds.concurrency

    def dispatched(self, found: Iterable[Dispatch]) -> None:
        """Runs are to be claimed."""
        for dispatch in found:
            before = self.dispatches.add(dispatch)
            if before is not None:
                self._done(before.partition, before.offset)
            if dispatch.function is None:
                self._say_unknown(dispatch.record.function_id)
        self._claim()

    def _say_unknown(self, function_id: str) -> None:
        if self._limiter.admit(function_id) is not None:
            _log.warning(
                "A run of a function that this worker doesn't have waits for one that does",
                function_id=function_id,
            )

    def went_on(self, run_id: str) -> None:
        """A run has a later record than its dispatch."""
        before = self.dispatches.take_out(run_id)
        if before is not None:
            self._done(before.partition, before.offset)

    def revoked(self, partitions: set[int]) -> None:
        """Other workers read these partitions' dispatches now."""
        self.dispatches.forget(partitions)

    def _claim(self) -> None:
        """Claim as many runs as there is room for."""
        busy = sum(held.phase is not Phase.LEAVING for held in self.held.values())
        claims = []
        while busy < self._bounds.concurrency and not self._is_leaving:
            dispatch = self.dispatches.take()
            if dispatch is None:
                break
            assert dispatch.function is not None, "only those with a function are taken"
            place = dispatch.partition, dispatch.offset
            held = Held(dispatch.record, dispatch.function, place, 0.0)
            held.held_until = monotonic() + held.lease_s
            before = self.held.get(held.run_id)
            if before is not None and before.attempt >= held.attempt:
                self._came_again(before, place)
                continue
            if before is not None:
                self._lose(before)
            self.held[held.run_id] = held
            claims.append(self._words.claim(held.run_id, held.attempt))
            busy += 1
        if claims:
            self._spawn(self._journal.write(claims))

    def _came_again(self, held: Held, place: tuple[int, int]) -> None:
        """A dispatch was read once more; one that isn't decided yet stays open."""
        if held.phase is Phase.CLAIMING:
            held.dispatched_at = place
        else:
            self._done(*place)

    # What `runs` shows

    def seen(self, records: Iterable[RunRecord]) -> None:
        """Records of runs that are held here, in their order."""
        for record in records:
            held = self.held.get(record.run_id)
            if held is not None:
                self._act(held, record)
        self._claim()

    def _act(self, held: Held, record: RunRecord) -> None:
        match verdict(held, record, self._words.worker):
            case Verdict.ACCEPTED:  # 2
                self._done(*held.dispatched_at)
                held.phase = Phase.RUNNING
                self._spawn(self._run(held))
            case Verdict.REFUSED:
                self._forget(held, "refused")
            case Verdict.CANCELLED:
                self._cancel(held, record.cause)
            case Verdict.LOST:
                self._lose(held)
            case Verdict.CONFIRMED:  # 6
                self._forget(held, record.status)
            case Verdict.NOTHING:
                pass

    def _cancel(self, held: Held, cause: Json) -> None:
        """4; what has said its last word already says `stopped` now."""
        if held.cancelled_at:
            return
        held.cancelled_at = monotonic()
        held.cause = cause
        if held.execution is not None:
            held.execution.cancel(cause)
        if held.phase is Phase.LEAVING:
            self._spawn(self._journal.write([self._words.stopped(held.run_id, held.attempt)]))

    def _lose(self, held: Held) -> None:
        if held.execution is not None:
            held.execution.suspend()
        self._forget(held, "lost")

    def _forget(self, held: Held, outcome: str) -> None:
        if held.phase is Phase.CLAIMING:
            self._done(*held.dispatched_at)
        if self.held.get(held.run_id) is held:
            del self.held[held.run_id]
            self._figures.ended(outcome)

    # 2, 3 and 5: one run

    async def _run(self, held: Held) -> None:
        """From the accepted claim to the last word."""
        crash_at("worker_claimed")
        try:
            recorded = await self._recorded(held)
        except Suspended:
            await self._hand_over(held)
            return
        if self._is_leaving:
            await self._hand_over(held)
            return
        execution = Execution(
            held.run_id,
            held.record.function_id,
            held.attempt,
            sleeps_at_most_ms=held.function.definition.pending_for_ms,
            recorded=recorded,
            journal=_RunJournal(self, held),
        )
        held.execution = execution
        if held.cancelled_at:
            execution.cancel(held.cause)
        error = await self._call(held, execution) if not execution.cancelled else None
        if self.held.get(held.run_id) is not held or execution.suspended:
            return
        held.phase = Phase.LEAVING
        crash_at("worker_before_last_word")
        if execution.cancelled:
            word = self._words.stopped(held.run_id, held.attempt)
        elif error is None:
            word = self._words.completed(held.run_id, held.attempt)
        else:
            word = self._words.failed(held.run_id, held.attempt, error)
        # Not guarded by the lease: a word that comes too late is ignored, by its attempt.
        await self._journal.write([word])

    async def _hand_over(self, held: Held) -> None:
        """5: a run that sleeps until now is dispatched at once, to whoever can go on with it."""
        held.phase = Phase.LEAVING
        word = self._words.sleeps(held.run_id, held.attempt, time.time_ns() // 1_000_000)
        if held.cancelled_at:
            word = self._words.stopped(held.run_id, held.attempt)
        await self._journal.write([word])

    async def _recorded(self, held: Held) -> dict[str, StepRecord]:
        if held.attempt == 1:
            return {}
        home = self._words.home(held.run_id)
        found = await self._history.recorded(home, [held.run_id])
        return found[held.run_id]

    async def _call(self, held: Held, execution: Execution) -> BaseException | None:
        """Call the function; what it raised, which never goes beyond here."""
        event = msgspec.json.decode(held.record.event, type=Event)
        return await call_function(held.function, execution, event, self._executor)

    async def _write(self, held: Held, records: Sequence[Outgoing]) -> None:
        """Write while the run is ours for long enough; where it isn't, renew its lease first.

        Raises:
            Suspended: It is no longer ours.
        """
        for _ in range(2):
            with suppress(Suspended):
                await self._journal.write(records, lambda: held.may_write(monotonic))
                return
            if monotonic() < held.held_until:
                await self._beat([held])
        self._lose(held)
        raise Suspended

    # From the runs' journals

    async def took_step(self, held: Held, record: StepRecord) -> None:
        """3: the outcome and the run's update, together."""
        step, update = self._words.step(record), self._words.claim(held.run_id, held.attempt)
        if record.wake_at is msgspec.UNSET:
            update = self._words.took_step(held.run_id, held.attempt, record.step)
        await self._write(held, [step, update])
        crash_at("worker_recorded")
        self._figures.took_step()

    async def park(self, held: Held, record: StepRecord | None, wake_at: int) -> None:
        """5: the run sleeps without us."""
        held.phase = Phase.LEAVING
        words = [] if record is None else [self._words.step(record)]
        words.append(self._words.sleeps(held.run_id, held.attempt, wake_at))
        await self._write(held, words)

    def parks(self, wait_ms: int) -> bool:
        """Whether a sleep of so long costs a worker more than it is worth."""
        return wait_ms > self._bounds.park_after_ms

    # Time

    async def tend(self) -> None:
        """Heartbeats, leases and overruns, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = monotonic()
            for held in [one for one in self.held.values() if _is_over(one, now)]:
                _log.warning("A lease ended before it was renewed", run_id=held.run_id)
                self._lose(held)
            self._look_for_overruns(now)
            leases = [held.lease_s for held in self.held.values()]
            if leases and now - self._beaten_at > min(leases) / _BEATS_PER_LEASE:
                self._beaten_at = now
                claimed = (one for one in self.held.values() if one.phase is not Phase.CLAIMING)
                self._spawn(self._beat(list(claimed)))
            self._claim()

    async def _beat(self, runs: Sequence[Held]) -> None:
        """Renew the leases of runs that were claimed."""
        for start in range(0, len(runs), _BEATEN_AT_ONCE):
            beaten = runs[start : start + _BEATEN_AT_ONCE]
            sent = monotonic()
            await self._journal.write(
                [self._words.heartbeat((held.run_id, held.attempt) for held in beaten)]
            )
            for held in beaten:
                if monotonic() < held.held_until:  # else it may have come too late
                    held.held_until = max(held.held_until, sent + held.lease_s)

    def _look_for_overruns(self, now: float) -> None:
        overrunning = 0
        for held in self.held.values():
            if held.cancelled_at and now - held.cancelled_at > self._bounds.overrun_s:
                overrunning += 1
                if not held.overran:
                    held.overran = True
                    step = held.execution.executing if held.execution else None
                    self._figures.overran()
                    _log.warning("A cancelled run's step goes on", run_id=held.run_id, step=step)
        self._figures.holds(len(self.held), overrunning)

    async def leave(self, grace_s: float) -> None:
        """Hand all runs over: each at its next step, or in its sleep; wait for that so long."""
        self._is_leaving = True
        for held in self.held.values():
            if held.execution is not None:
                held.execution.leave()
        end = monotonic() + grace_s
        while self.held and monotonic() < end:  # noqa: ASYNC110  # a poll is enough for an end
            await asyncio.sleep(_TICK_S / 5)
        if self.held:
            _log.warning("Runs are left to their leases", runs=len(self.held))
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Suspended):
            _log.error("A run's work ended with an error", error=repr(error))


def _is_over(held: Held, now: float) -> bool:
    """Whether a run's lease has ended; `runs` says so itself of one that was cancelled."""
    return held.held_until < now and not held.cancelled_at


class _RunJournal:
    """`execution.Journal` of one run."""

    def __init__(self, worker: Worker, held: Held) -> None:
        self._worker = worker
        self._held = held

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def parks(self, wait_ms: int) -> bool:
        return self._worker.parks(wait_ms)

    async def record(self, record: StepRecord) -> None:
        await self._worker.took_step(self._held, record)

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        await self._worker.park(self._held, record, wake_at)

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                await ended.wait()
