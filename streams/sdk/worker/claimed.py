"""A run in this worker's hands, and what the records of `runs` mean for it: pure decisions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from streams.sdk.app import Function
from streams.sdk.execution import Execution
from topology import limits
from topology.records import RunRecord
from topology.statuses import ENDED, Status

# A transaction that began with so much of its lease left has ended, or was aborted by the
# coordinator (which looks every ten seconds), before another worker can have the run.
MARGIN_S = limits.TRANSACTION_TIMEOUT_MS / 1000 + 10


class Phase(Enum):
    """How far this worker is with a run."""

    CLAIMING = auto()
    RUNNING = auto()
    LEAVING = auto()  # the last word is written: `runs` is to show it


class Verdict(Enum):
    """What a record of `runs` means for a run that this worker holds."""

    NOTHING = auto()
    ACCEPTED = auto()  # the claim: the function may begin
    REFUSED = auto()  # the claim: somebody else has it, or it ended
    CANCELLED = auto()
    LOST = auto()  # it goes on elsewhere, or ended without us
    CONFIRMED = auto()  # the last word arrived


@dataclass(slots=True)
class ClaimedRun:
    """One attempt of a run that this worker has claimed, or tries to.

    Attributes:
        lease_until: Until when nobody else gets the run, by the clock of `journal.monotonic`.
        dispatched_at: Partition and offset of the dispatch, done once the claim is decided.
        cancelled_at: When this worker learned of the cancel, by the same clock; 0: not cancelled.
        overran: Whether its step went on for longer than is usual after a cancel.
    """

    record: RunRecord
    function: Function
    dispatched_at: tuple[int, int]
    lease_until: float
    phase: Phase = Phase.CLAIMING
    execution: Execution | None = None
    cancelled_at: float = 0.0
    overran: bool = False
    cause: object = field(default=None)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.record.run_id

    @property
    def attempt(self) -> int:
        """Which dispatch of it this worker claimed."""
        return self.record.attempt

    @property
    def lease_s(self) -> float:
        """How long its worker may be silent."""
        lease_ms = self.function.definition.lease_ms
        assert lease_ms is not None, "an app gives every function a lease"
        return lease_ms / 1000

    def may_write(self, clock: Callable[[], float]) -> bool:
        """Whether a transaction that begins now ends while nobody else can have the run."""
        return clock() + min(MARGIN_S, self.lease_s / 2) < self.lease_until


def verdict(run: ClaimedRun, record: RunRecord, worker: str) -> Verdict:
    """What a record means for a run that `worker` holds."""
    if record.attempt < run.attempt:
        return Verdict.NOTHING
    if run.phase is Phase.CLAIMING:
        return _on_claim(run, record, worker)
    if run.phase is Phase.LEAVING:
        return _on_leaving(run, record)
    if record.status == Status.CANCELLED and record.attempt == run.attempt:
        return Verdict.CANCELLED if record.stopped_at is None else Verdict.LOST
    ours = (
        record.attempt == run.attempt
        and record.status == Status.RUNNING
        and record.worker == worker
    )
    return Verdict.NOTHING if ours else Verdict.LOST


def _on_claim(run: ClaimedRun, record: RunRecord, worker: str) -> Verdict:
    if record.attempt == run.attempt:
        if record.status == Status.RUNNING and record.worker == worker:
            return Verdict.ACCEPTED
        if record.status == Status.SCHEDULED and record.dispatch:
            return Verdict.NOTHING  # the dispatch itself, once more
    return Verdict.REFUSED


def _on_leaving(run: ClaimedRun, record: RunRecord) -> Verdict:
    if record.attempt == run.attempt:
        if record.status == Status.CANCELLED and record.stopped_at is None:
            # It was cancelled before our last word came: whoever cleans up waits for `stopped`.
            return Verdict.NOTHING if run.cancelled_at else Verdict.CANCELLED
        if record.status == Status.RUNNING:
            return Verdict.NOTHING
    return Verdict.CONFIRMED


def has_ended(status: str) -> bool:
    """Whether a run of this status never goes on."""
    return status in ENDED
