"""What a record of `runs` means for a run that a worker has claimed: every case."""

import itertools

import pytest

from streams.sdk.worker.claimed import MARGIN_S, ClaimedRun, Phase, Verdict, has_ended, verdict
from tests.support.claimed import WORKER, function, run_record
from topology import limits
from topology.records import RunRecord
from topology.statuses import ENDED, Status

OTHER = "worker-2"
STATUSES = [(str(status), False) for status in Status] + [("scheduled", True)]


def claimed(phase: Phase, cancelled_at: float = 0.0) -> ClaimedRun:
    """Attempt 2 of a run, in a worker's hands."""
    return ClaimedRun(
        run_record(), function(), (0, 0), 60.0, phase=phase, cancelled_at=cancelled_at
    )


def records(attempt: int) -> list[RunRecord]:
    """Every record of an attempt that differs in what counts."""
    return [
        run_record(
            status=status, dispatch=dispatch, worker=worker, stopped_at=stopped, attempt=attempt
        )
        for (status, dispatch), worker, stopped in itertools.product(
            STATUSES, [WORKER, OTHER, None], [None, 7]
        )
    ]


def is_ours(record: RunRecord) -> bool:
    """Whether a record shows this worker's claim."""
    return (record.status, record.worker) == ("running", WORKER)


def is_cancelled(record: RunRecord) -> bool:
    """Whether a record shows a cancel after which nothing has stopped yet."""
    return (record.status, record.stopped_at) == ("cancelled", None)


@pytest.mark.parametrize("cancelled_at", [0.0, 5.0])
@pytest.mark.parametrize("phase", Phase)
def test_an_earlier_attempt_means_nothing(phase: Phase, cancelled_at: float) -> None:
    """It was read late: this attempt is beyond it."""
    found = {verdict(claimed(phase, cancelled_at), one, WORKER) for one in records(1)}
    assert found == {Verdict.NOTHING}


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.CLAIMING, Verdict.REFUSED),
        (Phase.RUNNING, Verdict.LOST),
        (Phase.LEAVING, Verdict.CONFIRMED),
    ],
)
def test_a_later_attempt_is_not_this_one(phase: Phase, expected: Verdict) -> None:
    """Whatever it says: the run went on without this attempt."""
    assert {verdict(claimed(phase), one, WORKER) for one in records(3)} == {expected}


@pytest.mark.parametrize("record", records(2), ids=lambda one: f"{one.status}-{one.worker}")
def test_a_claim_is_accepted_or_refused(record: RunRecord) -> None:
    """Only a record that names this worker lets the function begin (S31)."""
    expected = Verdict.REFUSED
    if is_ours(record):
        expected = Verdict.ACCEPTED
    elif record.dispatch:
        expected = Verdict.NOTHING
    assert verdict(claimed(Phase.CLAIMING), record, WORKER) is expected


@pytest.mark.parametrize("record", records(2), ids=lambda one: f"{one.status}-{one.worker}")
def test_a_running_one_goes_on_is_cancelled_or_lost(record: RunRecord) -> None:
    """It goes on only while `runs` shows it in these hands."""
    expected = Verdict.LOST
    if is_ours(record):
        expected = Verdict.NOTHING
    elif is_cancelled(record):
        expected = Verdict.CANCELLED
    assert verdict(claimed(Phase.RUNNING), record, WORKER) is expected


@pytest.mark.parametrize("cancelled_at", [0.0, 5.0])
@pytest.mark.parametrize("record", records(2), ids=lambda one: f"{one.status}-{one.worker}")
def test_a_leaving_one_waits_for_its_last_word(record: RunRecord, cancelled_at: float) -> None:
    """A cancel that came first has it say `stopped`, once."""
    expected = Verdict.CONFIRMED
    if record.status == "running" or (is_cancelled(record) and cancelled_at):
        expected = Verdict.NOTHING
    elif is_cancelled(record):
        expected = Verdict.CANCELLED
    assert verdict(claimed(Phase.LEAVING, cancelled_at), record, WORKER) is expected


def test_nothing_is_written_near_the_end_of_a_lease() -> None:
    """A transaction that begins now must have ended before another worker can have the run."""
    lease_s = (function().definition.lease_ms or 0) / 1000
    margin = min(MARGIN_S, lease_s / 2)
    one = claimed(Phase.RUNNING)
    assert one.may_write(lambda: 60.0 - margin - 0.001)
    assert not one.may_write(lambda: 60.0 - margin)
    assert limits.TRANSACTION_TIMEOUT_MS / 1000 < MARGIN_S


def test_a_run_that_ended_never_goes_on() -> None:
    """Its steps are needed no more."""
    assert {status for status in Status if has_ended(str(status))} == set(ENDED)
