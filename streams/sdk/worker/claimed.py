"""A run that a worker has claimed, and what records of `runs` mean for it: pure decisions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from streams.errors import WriteRefusedError
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
    LEAVING = auto()  # the last update is written, and `runs` doesn't show it yet


class Verdict(Enum):
    """What a record of `runs` means for a run that this worker has claimed."""

    NOTHING = auto()
    ACCEPTED = auto()  # the claim is accepted: the function may begin
    REFUSED = auto()  # another worker has claimed the run, or the run has ended
    CANCELLED = auto()
    LOST = auto()  # another worker goes on with the run, or it ended without this worker
    CONFIRMED = auto()  # `runs` shows this worker's last update


@dataclass(slots=True)
class ClaimedRun:
    """One attempt of a run that this worker has claimed, or tries to claim.

    Attributes:
        lease_until: No other worker gets the run before this time (s, of `journal.monotonic`).
        dispatched_at: Partition and offset of the dispatch, which is done once the claim is
            accepted or refused.
        cancelled_at: When this worker learned of the cancel, by the same clock; 0: not cancelled.
        overran: Whether its step went on for longer than is usual after a cancel.
        refused: Why Kafka didn't take what this worker wrote for the run: the attempt ends.
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
    refused: WriteRefusedError | None = None

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.record.run_id

    @property
    def attempt(self) -> int:
        """The number of the dispatch that this worker claimed, from 1."""
        return self.record.attempt

    @property
    def lease_s(self) -> float:
        """How long the worker may send no heartbeat before it loses the run, in s."""
        lease_ms = self.function.definition.lease_ms
        assert lease_ms is not None, "an app gives every function a lease"
        return lease_ms / 1000

    def may_write(self, clock: Callable[[], float]) -> bool:
        """Whether a transaction that begins now ends while nobody else can have the run."""
        return clock() + min(MARGIN_S, self.lease_s / 2) < self.lease_until


def verdict(run: ClaimedRun, record: RunRecord, worker: str) -> Verdict:
    """What a record of `runs` means for a run that `worker` has claimed."""
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
            # It was cancelled before our last update came: cleanups wait for `stopped`.
            return Verdict.NOTHING if run.cancelled_at else Verdict.CANCELLED
        if record.status == Status.RUNNING:
            return Verdict.NOTHING
    return Verdict.CONFIRMED


def has_ended(status: str) -> bool:
    """Whether a run with this status has ended for good."""
    return status in ENDED
