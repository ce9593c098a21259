"""A batch holds, per run and per request, what is true after all of its records."""

from typing import Any

import pytest

from streams.read_model.batch import Batch, Record, Step
from streams.read_model.rows import Row
from tests.support import records
from tests.support.records import encoded, run_id
from topology.codec import CodecError


def found(record: dict[str, Any] | None, key: str = "") -> Record:
    """A record as it is read."""
    return Record(key.encode(), None if record is None else encoded(record), 5)


def copied(batch: Batch) -> list[tuple[Step, list[Row]]]:
    """What is done with rows of what was read; counts of activity aside."""
    return [(step, rows) for step, rows in batch.steps() if step is not Step.COUNT]


def of_runs(*changes: dict[str, Any] | int) -> dict[Step, list[str]]:
    """The ids of the runs by what is done with them; a number stands for a removal."""
    batch = Batch()
    for change in changes:
        batch.add_run(found(None, run_id(change)) if isinstance(change, int) else found(change))
    return {step: [row[0] for row in rows] for step, rows in copied(batch)}


def test_a_run_that_changes_again_is_written_once() -> None:
    """With its last change."""
    batch = Batch()
    for seq, status in enumerate(("scheduled", "running", "completed"), start=1):
        batch.add_run(found(records.run(1, seq=seq, status=status)))
    [(step, [row])] = copied(batch)
    assert (step, row[0], row[4], row[6]) == (Step.CHANGE_RUN, run_id(1), "completed", 3)


def test_an_older_change_does_not_count() -> None:
    """Whatever the order in which they come."""
    batch = Batch()
    batch.add_run(found(records.run(1, seq=3)))
    batch.add_run(found(records.run(1, seq=2)))
    [(_, [row])] = copied(batch)
    assert row[6] == 3


def test_rows_lie_in_the_order_of_their_keys() -> None:
    """Each kind of change for itself."""
    changes = [records.run(number) for number in (3, 1, 2)]
    changes += [records.cancelled(number) for number in (6, 5)]
    assert of_runs(*changes) == {
        Step.ADD_RUN: [run_id(1), run_id(2), run_id(3)],
        Step.CHANGE_RUN: [run_id(5), run_id(6)],
    }


def test_a_removed_run_is_gone_unless_it_comes_anew() -> None:
    """Then it is removed first: its count of changes began anew too."""
    assert of_runs(records.run(1), 1) == {Step.REMOVE_RUN: [run_id(1)]}
    anew = of_runs(records.cancelled(1), 1, records.run(1))
    assert anew == {Step.REMOVE_RUN: [run_id(1)], Step.ADD_RUN: [run_id(1)]}


def test_the_first_record_of_a_request_counts() -> None:
    """Whoever isn't sure that it was written repeats it."""
    batch = Batch()
    for kind, body in (("cancel_run", {"run_id": "a"}), ("cancel_run", {"run_id": "b"})):
        batch.add_request(found(records.request(1, kind, body), "key"))
    batch.add_request(found(None, "key"))
    [(step, [row])] = batch.steps()
    assert (step, row[-1]) == (Step.ADD_REQUEST, '{"run_id":"a"}')


def test_the_last_progress_of_a_partition_counts() -> None:
    """Removed ones are removed; runs without an answer are rows of their own."""
    batch = Batch()
    name = records.request_id(1)
    for partition in (0, 1, 2):
        batch.add_progress(found(records.progress(1, partition, scanned=1), f"{name}/{partition}"))
    batch.add_progress(found(records.progress(1, 1, scanned=9), f"{name}/1"))
    batch.add_progress(found(None, f"{name}/2"))
    batch.add_progress(found(records.failure(1, 0, 3), f"{name}/0/{run_id(3)}"))
    batch.add_progress(found(None, f"{name}/0/{run_id(4)}"))
    steps = dict(batch.steps())
    assert steps[Step.REMOVE_PROGRESS] == [(name, 2)]
    assert [(row[1], row[4]) for row in steps[Step.SET_PROGRESS]] == [(0, 1), (1, 9)]
    assert steps[Step.SET_FAILURE] == [(name, run_id(3), "no such key")]
    assert steps[Step.REMOVE_FAILURE] == [(name, run_id(4))]


def test_a_refused_record_changes_nothing() -> None:
    """The rest of the batch stays."""
    batch = Batch()
    batch.add_run(found(records.run(1)))
    for add in (batch.add_run, batch.add_request, batch.add_progress):
        with pytest.raises(CodecError):
            add(Record(b"", b"{", 5))
    assert [(step, len(rows)) for step, rows in copied(batch)] == [(Step.ADD_RUN, 1)]
