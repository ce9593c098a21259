"""Decides about the runs of one worker, on the event loop.

This order gives the guarantees S31, S32 and S34:

1. a dispatch is read, a claim is written
2. `runs` shows the claim accepted; the outcomes of earlier attempts' steps are looked up
3. the function is called; each step's outcome is committed before the function goes on
4. `runs` shows a cancel: no new step starts, a sleep ends, the executing step runs to its end
5. the last update is written: completed, failed, sleeping, or stopped after a cancel
6. `runs` shows that update: the worker forgets the run

After a crash at any point the lease ends, the run is dispatched again, and 2 finds its steps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from streams import logs
from streams.clock import now_ms
from streams.crash import crash_at
from streams.errors import RecordRefusedError, WriteRefusedError
from streams.sdk.calls import call_function
from streams.sdk.cancelled_run import Event
from streams.sdk.errors import Suspended
from streams.sdk.execution import Execution
from streams.sdk.worker.claimed import ClaimedRun, Phase, Verdict, verdict
from streams.sdk.worker.dispatches import Dispatch, Dispatches
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.history import History
from streams.sdk.worker.journal import Journal, Outgoing, monotonic
from streams.sdk.worker.pool import Pool
from streams.sdk.worker.updates import Updates
from topology import limits
from topology.records import Json, RunRecord, StepRecord

_TICK_S: Final = 0.25
_BEATS_PER_LEASE: Final = 4
# Far fewer than routers take, so that topics with a small `max.message.bytes` take the record too.
_BEATEN_AT_ONCE: Final = limits.HEARTBEAT_RUNS // 10
_SHOWN: Final = 20
log = logs.get(__name__)


class Limits(msgspec.Struct, frozen=True):
    """How many runs a worker executes at once, when sleeps leave it, and when steps overrun."""

    concurrency: int
    park_after_ms: int
    overrun_s: float


class Worker:
    """Claims, executes and ends runs; other threads only read and write Kafka for it."""

    def __init__(  # noqa: PLR0913, PLR0917  # its parts
        self,
        updates: Updates,
        journal: Journal,
        history: History,
        bounds: Limits,
        figures: Figures,
        done: Callable[[int, int], None],
    ) -> None:
        """`done(partition, offset)` is called when a dispatch needn't be read again."""
        self.runs: dict[str, ClaimedRun] = {}
        self.dispatches = Dispatches()
        self._updates = updates
        self._journal = journal
        self._history = history
        self._bounds = bounds
        self._figures = figures
        figures.may_hold(updates.worker, bounds.concurrency)
        self._done = done
        self._pool = Pool(bounds.concurrency, "function")
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beaten_at = monotonic()
        self._limiter = logs.Limiter()
        self._is_leaving = False

    # 1: dispatches and claims

    @property
    def is_full(self) -> bool:
        """Whether so many dispatches wait that the reader should pause."""
        return len(self.dispatches) >= 2 * self._bounds.concurrency

    def dispatched(self, found: Iterable[Dispatch]) -> None:
        """Take dispatches: claim their runs as soon as there is room."""
        for dispatch in found:
            before = self.dispatches.add(dispatch)
            if before is not None:
                self._done(before.partition, before.offset)
        self._claim()

    def went_on(self, run_id: str) -> None:
        """Drop a run's dispatch, as the run has a later record."""
        before = self.dispatches.take_out(run_id)
        if before is not None:
            self._done(before.partition, before.offset)

    def revoked(self, partitions: set[int]) -> None:
        """Drop the dispatches of these partitions, which other workers read now."""
        self.dispatches.forget(partitions)

    def _claim(self) -> None:
        """Claim as many runs as there is room for."""
        busy = sum(run.phase is not Phase.LEAVING for run in self.runs.values())
        claimed: list[ClaimedRun] = []
        while busy < self._bounds.concurrency and not self._is_leaving:
            dispatch = self.dispatches.take()
            if dispatch is None:
                break
            place = dispatch.partition, dispatch.offset
            run = ClaimedRun(dispatch.record, dispatch.function, place, 0.0)
            run.lease_until = monotonic() + run.lease_s
            before = self.runs.get(run.run_id)
            if before is not None and before.attempt >= run.attempt:
                self._came_again(before, place)
                continue
            if before is not None:
                self._lose(before)
            self.runs[run.run_id] = run
            claimed.append(run)
            busy += 1
        if claimed:
            self._spawn(self._send_claims(claimed))

    async def _send_claims(self, claimed: Sequence[ClaimedRun]) -> None:
        try:
            await self._journal.write(
                [self._updates.claim(run.run_id, run.attempt) for run in claimed]
            )
        except WriteRefusedError as error:
            log.warning("Runs can't be claimed", runs=len(claimed), error=str(error))
            for run in claimed:  # their dispatches stay open, and are read again
                if self.runs.get(run.run_id) is run:
                    del self.runs[run.run_id]

    def _came_again(self, run: ClaimedRun, place: tuple[int, int]) -> None:
        """Handle a repeated dispatch: it stays open until the claim is decided."""
        if run.phase is Phase.CLAIMING:
            run.dispatched_at = place
        else:
            self._done(*place)

    # What `runs` shows

    def seen(self, records: Iterable[RunRecord]) -> None:
        """Act on records of this worker's runs, given in their order in `runs`."""
        for record in records:
            run = self.runs.get(record.run_id)
            if run is not None:
                self._act(run, record)
        self._claim()

    def _act(self, run: ClaimedRun, record: RunRecord) -> None:
        match verdict(run, record, self._updates.worker):
            case Verdict.ACCEPTED:  # 2
                self._done(*run.dispatched_at)
                run.phase = Phase.RUNNING
                self._spawn(self._run(run))
            case Verdict.REFUSED:
                self._forget(run, "refused")
            case Verdict.CANCELLED:
                self._cancel(run, record.cause)
            case Verdict.LOST:
                self._lose(run)
            case Verdict.CONFIRMED:  # 6
                self._forget(run, record.status)
            case Verdict.NOTHING:
                pass

    def _cancel(self, run: ClaimedRun, cause: Json) -> None:
        """Step 4; if the run's last update was written already, write `stopped` after it."""
        if run.cancelled_at:
            return
        run.cancelled_at = monotonic()
        run.cause = cause
        if run.execution is not None:
            run.execution.cancel(cause)
        if run.phase is Phase.LEAVING:
            self._spawn(self._journal.write([self._updates.stopped(run.run_id, run.attempt)]))

    def _lose(self, run: ClaimedRun) -> None:
        if run.execution is not None:
            run.execution.suspend()
        self._forget(run, "lost")

    def _forget(self, run: ClaimedRun, outcome: str) -> None:
        if run.phase is Phase.CLAIMING:
            self._done(*run.dispatched_at)
        if self.runs.get(run.run_id) is run:
            del self.runs[run.run_id]
            self._figures.ended(outcome)

    # 2, 3 and 5: one run

    async def _run(self, run: ClaimedRun) -> None:
        """Work on a run from its accepted claim to its last update, whatever its function does."""
        crash_at("worker_claimed")
        try:
            update = await self._worked(run)
        except Suspended:  # another worker has the partition of its steps
            update = self._handed_over(run)
        except Exception as error:  # the run's own, such as a trigger that is no event
            log.exception("A run can't be executed", run_id=run.run_id)
            update = self._updates.failed(run.run_id, run.attempt, error)
        if update is not None and self.runs.get(run.run_id) is run:
            await self._say_last(run, update)

    async def _worked(self, run: ClaimedRun) -> Outgoing | None:
        """Call the run's function; returns the last update, None if there is none to write."""
        recorded = await self._recorded(run)
        if self._is_leaving:
            return self._handed_over(run)
        execution = Execution(
            run.run_id,
            run.record.function_id,
            run.attempt,
            sleeps_at_most_ms=run.function.definition.pending_for_ms,
            recorded=recorded,
            journal=_RunJournal(self, run),
        )
        run.execution = execution
        if run.cancelled_at:
            execution.cancel(run.cause)
        error = await self._call(run, execution) if not execution.cancelled else None
        if run.refused is not None:
            return self._after_refusal(run, run.refused)
        if execution.suspended:
            return None
        if execution.cancelled:
            return self._updates.stopped(run.run_id, run.attempt)
        if error is None:
            return self._updates.completed(run.run_id, run.attempt)
        return self._updates.failed(run.run_id, run.attempt, error)

    def _after_refusal(self, run: ClaimedRun, refused: WriteRefusedError) -> Outgoing:
        """A record that Kafka never takes fails its run; without a right, others go on with it."""
        if isinstance(refused, RecordRefusedError) and not run.cancelled_at:
            log.error("A run fails: its record is refused", run_id=run.run_id, error=str(refused))
            return self._updates.failed(run.run_id, run.attempt, refused)
        return self._handed_over(run)

    def _handed_over(self, run: ClaimedRun) -> Outgoing:
        """Step 5: the run sleeps until now, so that it is dispatched again at once."""
        if run.cancelled_at:
            return self._updates.stopped(run.run_id, run.attempt)
        return self._updates.sleeps(run.run_id, run.attempt, now_ms())

    async def _say_last(self, run: ClaimedRun, update: Outgoing) -> None:
        """Step 5; needs no valid lease: routers ignore a late update, whose attempt is over."""
        run.phase = Phase.LEAVING
        crash_at("worker_before_last_word")
        try:
            await self._journal.write([update])
        except WriteRefusedError as error:
            log.warning("A run is left to its lease", run_id=run.run_id, error=str(error))
            self._lose(run)

    async def _recorded(self, run: ClaimedRun) -> dict[str, StepRecord]:
        if run.attempt == 1:
            return {}
        home = self._updates.home(run.run_id)
        found = await self._history.recorded(home, [run.run_id])
        return found[run.run_id]

    async def _call(self, run: ClaimedRun, execution: Execution) -> BaseException | None:
        """Call the function, and return the error that it raised."""
        event = msgspec.json.decode(run.record.event, type=Event)
        return await call_function(run.function, execution, event, self._pool)

    async def _write(self, run: ClaimedRun, records: Sequence[Outgoing]) -> None:
        """Write if the run's lease lasts long enough; if not, renew the lease and try again.

        Raises:
            Suspended: This worker no longer has the run, or Kafka refuses what it writes.
        """
        for _ in range(2):
            try:
                await self._journal.write(records, lambda: run.may_write(monotonic))
            except Suspended:
                if monotonic() < run.lease_until:
                    await self._beat([run])
            except WriteRefusedError as refused:
                run.refused = refused
                raise Suspended from refused
            else:
                return
        self._lose(run)
        raise Suspended

    # From the runs' journals

    async def took_step(self, run: ClaimedRun, record: StepRecord) -> None:
        """Step 3: write the outcome and the run's update in one transaction."""
        step, update = self._updates.step(record), self._updates.claim(run.run_id, run.attempt)
        title = record.step if record.title is msgspec.UNSET else record.title
        if record.wake_at is msgspec.UNSET and title:
            update = self._updates.took_step(run.run_id, run.attempt, title)
        await self._write(run, [step, update])
        crash_at("worker_recorded")
        self._figures.took_step()

    async def park(self, run: ClaimedRun, record: StepRecord | None, wake_at: int) -> None:
        """Step 5: write that the run sleeps; no worker has the run meanwhile."""
        run.phase = Phase.LEAVING
        updates = [] if record is None else [self._updates.step(record)]
        updates.append(self._updates.sleeps(run.run_id, run.attempt, wake_at))
        await self._write(run, updates)

    def parks(self, wait_ms: int) -> bool:
        """Whether a run leaves the worker for a sleep of `wait_ms`."""
        return wait_ms > self._bounds.park_after_ms

    # Time

    async def tend(self) -> None:
        """Send heartbeats, and look for ended leases and overruns; until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = monotonic()
            for run in [late for late in self.runs.values() if _is_over(late, now)]:
                log.warning("A lease ended before it was renewed", run_id=run.run_id)
                self._lose(run)
            self._look_for_overruns(now)
            leases = [run.lease_s for run in self.runs.values()]
            if leases and now - self._beaten_at > min(leases) / _BEATS_PER_LEASE:
                self._beaten_at = now
                claimed = (run for run in self.runs.values() if run.phase is not Phase.CLAIMING)
                self._spawn(self._beat(list(claimed)))
            self._claim()

    async def _beat(self, runs: Sequence[ClaimedRun]) -> None:
        """Renew the leases of claimed runs."""
        for start in range(0, len(runs), _BEATEN_AT_ONCE):
            beaten = runs[start : start + _BEATEN_AT_ONCE]
            sent = monotonic()
            try:
                await self._journal.write(
                    [self._updates.heartbeat((run.run_id, run.attempt) for run in beaten)]
                )
            except WriteRefusedError as error:
                if self._limiter.admit("heartbeat") is not None:
                    log.warning("Leases can't be renewed", runs=len(beaten), error=str(error))
                continue
            for run in beaten:
                if monotonic() < run.lease_until:  # otherwise the heartbeat may be late
                    run.lease_until = max(run.lease_until, sent + run.lease_s)

    def _look_for_overruns(self, now: float) -> None:
        overrunning, longest = 0, 0.0
        for run in self.runs.values():
            since_s = now - run.cancelled_at if run.cancelled_at else 0.0
            longest = max(longest, since_s)
            if since_s > self._bounds.overrun_s:
                overrunning += 1
                if not run.overran:
                    run.overran = True
                    step = run.execution.executing if run.execution else None
                    self._figures.overran()
                    log.warning("A cancelled run's step goes on", run_id=run.run_id, step=step)
        self._figures.holds(self._updates.worker, len(self.runs), overrunning, longest)

    def let_go(self) -> None:
        """Hand over all runs, at their next steps or in sleeps; claim none until `go_on`."""
        self._is_leaving = True
        for run in self.runs.values():
            if run.execution is not None:
                run.execution.leave()

    def go_on(self) -> None:
        """Claim runs again."""
        self._is_leaving = False
        self._claim()

    async def leave(self, grace_s: float) -> None:
        """Hand over all runs, at their next steps or in sleeps; wait at most `grace_s`."""
        self.let_go()
        end = monotonic() + grace_s
        while self.runs and monotonic() < end:  # noqa: ASYNC110  # polling is enough here
            await asyncio.sleep(_TICK_S / 5)
        if self.runs:
            log.error("Runs are left to their leases", runs=len(self.runs), where=self.executing())
        for run in [one for one in self.runs.values() if one.execution is not None]:
            self._lose(run)
        self._pool.close()

    @property
    def is_busy(self) -> bool:
        """Whether a thread still executes a function or step, which can't be interrupted."""
        return self._pool.is_busy

    def executing(self) -> list[str]:
        """What the runs of this worker do, for logs; of many runs only the first."""
        return [
            f"{run.record.function_id} {run.run_id}: "
            + (f"step {run.execution.executing}" if run.execution.executing else "between steps")
            for run in list(self.runs.values())
            if run.execution is not None
        ][:_SHOWN]

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Suspended):
            log.error("A run's work ended with an error", error=repr(error))


def _is_over(run: ClaimedRun, now: float) -> bool:
    """Whether a run's lease has ended; if the run was cancelled, `runs` shows that."""
    return run.lease_until < now and not run.cancelled_at


class _RunJournal:
    """The `execution.Journal` of one run: passes calls on to the worker."""

    def __init__(self, worker: Worker, run: ClaimedRun) -> None:
        self._worker = worker
        self._run = run

    def now_ms(self) -> int:
        return now_ms()

    def parks(self, wait_ms: int) -> bool:
        return self._worker.parks(wait_ms)

    async def record(self, record: StepRecord) -> None:
        await self._worker.took_step(self._run, record)

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        await self._worker.park(self._run, record, wake_at)

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                await ended.wait()
