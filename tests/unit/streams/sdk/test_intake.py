"""What a worker has read of `runs`: dispatches, positions, and what is not for it."""

import asyncio
from typing import Any

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import NotAllowedError, RecordRefusedError, WriteRefusedError
from streams.metrics import Metrics
from streams.sdk import App
from streams.sdk.worker.dispatches import Dispatch, Dispatches
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.intake import Ended, EndedRuns, Intake, Tell, tells_nothing
from streams.sdk.worker.journal import Outgoing
from streams.sdk.worker.offsets import Offsets, begins
from streams.sdk.worker.reader import Left
from streams.sdk.worker.records import has_stopped
from streams.sdk.worker.updates import Updates
from streams.settings import load
from tests.support.claimed import function, run_id, run_record
from topology import limits
from topology.records import RunRecord


def dispatch(number: int, *, partition: int = 0, offset: int = 0) -> Dispatch:
    """A run that waits to be claimed."""
    return Dispatch(run_record(number), function(), partition, offset)


# Dispatches


def test_runs_are_claimed_in_the_order_of_their_dispatch() -> None:
    """The longest wait comes first."""
    waiting = Dispatches()
    for number in range(2):
        assert waiting.add(dispatch(number)) is None
    assert len(waiting) == 2
    taken = [waiting.take(), waiting.take()]
    assert [one.record.run_id for one in taken if one] == [run_id(0), run_id(1)]
    assert waiting.take() is None


def test_a_later_dispatch_takes_the_place_of_an_earlier_one() -> None:
    """The earlier record needn't be read again."""
    waiting = Dispatches()
    first, second = dispatch(0, offset=3), dispatch(0, offset=9)
    waiting.add(first)
    assert waiting.add(second) is first
    assert waiting.take() is second


def test_a_run_that_went_on_waits_no_more() -> None:
    """Nobody claims it."""
    waiting = Dispatches()
    one = dispatch(0)
    waiting.add(one)
    assert waiting.take_out(run_id(0)) is one
    assert waiting.take_out(run_id(0)) is None
    assert waiting.take() is None


def test_dispatches_go_with_their_partitions() -> None:
    """Whoever reads the partition now claims them."""
    waiting = Dispatches()
    for number in range(4):
        waiting.add(dispatch(number, partition=number % 2))
    waiting.forget({1})
    assert [waiting.take_out(run_id(number)) is not None for number in range(4)] == [
        True, False, True, False,
    ]  # fmt: skip


# Offsets


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_a_commit_passes_no_open_record(records: list[tuple[bool, bool]]) -> None:
    """What a crash forgets is read again; what is done isn't, once all before it is done."""
    offsets = Offsets()
    for offset, (is_open, _) in enumerate(records):
        offsets.read(0, offset, is_open=is_open)
    for offset, (_, is_done) in reversed(list(enumerate(records))):
        if is_done:
            offsets.done(0, offset)
    left = [at for at, (is_open, is_done) in enumerate(records) if is_open and not is_done]
    expected = {0: left[0] if left else len(records)} if records else {}
    assert offsets.uncommitted() == expected
    assert offsets.uncommitted() == {}


def test_each_partition_is_committed_for_itself() -> None:
    """Only those that moved."""
    offsets = Offsets()
    offsets.read(0, 4, is_open=True)
    offsets.read(1, 7, is_open=False)
    assert offsets.uncommitted() == {0: 4, 1: 8}
    offsets.done(0, 4)
    assert offsets.uncommitted() == {0: 5}


def test_a_partition_that_went_away_is_not_committed() -> None:
    """Nor does what was still under way disturb its next stay."""
    offsets = Offsets()
    offsets.read(0, 4, is_open=True)
    offsets.forget(0)
    offsets.done(0, 4)
    assert offsets.uncommitted() == {}
    offsets.read(0, 4, is_open=False)
    assert offsets.uncommitted() == {0: 5}


# Records that are left to others


def test_what_only_others_know_does_not_hold_the_offset() -> None:
    """Where the first of each kind lies is noted, for a member that knows it."""
    offsets = Offsets()
    for offset in range(6):
        offsets.read(0, offset, is_open=False)
        if offset in {2, 3, 4}:
            offsets.leave(0, offset, "reports-new" if offset < 4 else "reports-old")
    assert offsets.uncommitted() == {0: 6}
    note = offsets.note(0)
    assert begins(6, note, {"reports-new"}.__contains__) == (2, {"reports-old": 4})
    assert begins(6, note, lambda _: False) == (6, {"reports-new": 2, "reports-old": 4})
    offsets.forget(0)
    assert offsets.note(0) == ""


def test_what_was_left_before_stays_noted() -> None:
    """Whoever gets the partition passes on what it doesn't know either."""
    offsets = Offsets()
    offsets.begin(0, {"reports-old": 4})
    offsets.read(0, 9, is_open=False)
    offsets.leave(0, 9, "reports-old")
    assert begins(10, offsets.note(0), lambda name: name == "reports-old") == (4, {})


def test_a_note_fits_into_a_commit() -> None:
    """With too many names it only says where the first one is: everybody begins there."""
    offsets = Offsets()
    for offset in range(100):
        offsets.read(0, offset + 7, is_open=False)
        offsets.leave(0, offset + 7, f"reports-{offset:0>190}")
    assert len(offsets.note(0)) < 4_096
    assert begins(200, offsets.note(0), lambda _: False) == (7, {})


@pytest.mark.parametrize("note", [None, "", "[]", "{", '{"a":"b"}', '{"a":-5}', "[" * 100_000, "7"])
def test_what_is_no_note_says_nothing(note: str | None) -> None:
    """Others may write metadata too."""
    assert begins(6, note, lambda _: True) == (6, {})


def test_without_a_commit_a_member_begins_where_the_client_says() -> None:
    """The client has a number of its own for that."""
    assert begins(-1001, None, lambda _: True) == (-1001, {})


# Records


def message(slug: str | None, value: bytes | None, key: bytes | None = None) -> Message:
    """A record of `runs`."""
    headers = [] if slug is None else [("function-id", slug.encode())]
    key = run_id().encode() if key is None else key
    return Message(topic="runs", key=key, value=value, headers=list(headers))


class Taken:
    """Stands in for everything that an intake hands over to: keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def dispatched(self, found: list[Dispatch]) -> None:
        """Runs to claim."""
        self.calls.append(("dispatched", *[one.function.slug for one in found]))

    def went_on(self, run_id: str) -> None:
        """A run went on."""
        self.calls.append(("went on", run_id))

    def add(self, run: RunRecord | Ended, partition: int, offset: int) -> None:
        """A run has ended."""
        self.calls.append(("ended", run.run_id, partition, offset))

    def done(self, partition: int, offset: int) -> None:
        """Nothing to do."""
        self.calls.append(("done", partition, offset))

    def revoked(self, partitions: set[int]) -> None:
        """Partitions went."""
        self.calls.append(("revoked", partitions))


def intake(taken: Taken, metrics: Metrics | None = None) -> Intake:
    """An intake of an app with one function."""
    app = App("reports")
    app.add(function())
    ignored = Ignored(Figures(metrics or Metrics()))
    return Intake(app, taken, taken, taken, ignored)  # type: ignore[arg-type]  # as much as it uses


def selected(record: Message, metrics: Metrics | None = None) -> object:
    """What an intake makes of a record."""

    async def select() -> object:
        return intake(Taken(), metrics).select(record)

    return asyncio.run(select())


def test_only_runs_of_the_app_are_selected() -> None:
    """Dispatches of functions that this worker doesn't have are left to another one."""
    value = msgspec.json.encode(run_record())
    new = msgspec.json.encode(run_record(function_id="reports-new"))
    assert isinstance(selected(message("reports-generate", value)), RunRecord)
    assert selected(message("reports-new", new)) == Left("reports-new")
    ended = msgspec.json.encode(run_record(function_id="reports-new", dispatch=False))
    assert isinstance(selected(message("reports-new", ended)), RunRecord)
    assert isinstance(selected(message("reports-generate", None)), Ended)
    foreign = msgspec.json.encode(run_record(app_id="reports-2"))
    for record in (
        message("mail-send", value),
        message(None, value),
        message("reports-2-send", foreign),
    ):
        assert selected(record) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{"),
        (None, b"\xff"),
        (None, b"[" * 100_000),
        (b"\xff", None),
        (b"no run", None),
        (b"no run", msgspec.json.encode(run_record())),
        (None, msgspec.json.encode(run_record(attempt=2**70))),
        (None, msgspec.json.encode(run_record(status="lost"))),
    ],
    ids=repr,
)
def test_s38_what_is_no_record_of_runs_is_ignored_and_counted(
    key: bytes | None, value: bytes | None
) -> None:
    """Whatever it is, the worker goes on."""
    metrics = Metrics()
    assert selected(message("reports-generate", value, key), metrics) is None
    assert metrics.worker_ignored.labels("runs")._value.get() == 1


def test_each_record_goes_where_it_belongs() -> None:
    """Dispatches to be claimed, ends to be forgotten, the rest past."""
    run = run_id()
    records = [
        run_record(),
        run_record(status="running", dispatch=False),
        run_record(status="cancelled", dispatch=False),
        Ended(run),
    ]
    taken = Taken()

    async def go() -> None:
        one = intake(taken)
        one.deliver([(3, offset, record) for offset, record in enumerate(records)])
        one.revoked({3})
        await asyncio.sleep(0)

    asyncio.run(go())
    assert taken.calls == [
        ("revoked", {3}),
        ("dispatched", "reports-generate"),
        ("went on", run),
        ("done", 3, 1),
        ("went on", run),
        ("ended", run, 3, 2),
        ("went on", run),
        ("ended", run, 3, 3),
        ("revoked", {3}),
        ("revoked", {3}),
    ]


@pytest.mark.parametrize(
    ("value", "stopped"),
    [
        (msgspec.json.encode(run_record(status="cancelled")), False),
        (msgspec.json.encode(run_record(status="cancelled", stopped_at=7)), True),
        (None, True),
    ],
)
def test_a_run_has_stopped_when_runs_says_so(value: bytes | None, stopped: bool) -> None:
    """Or when it was removed: whoever had it has long left it."""
    assert has_stopped(run_id().encode(), value) is stopped


def test_a_function_that_comes_later_is_taken_from_then_on() -> None:
    """What was left is known by its name."""
    app, ignored = App("reports"), Ignored(Figures(Metrics()))
    record = message("reports-generate", msgspec.json.encode(run_record()))
    taken: Any = Taken()

    async def go() -> None:
        one = Intake(app, taken, taken, taken, ignored)
        assert one.select(record) == Left("reports-generate")
        assert not one.knows("reports-generate")
        app.add(function())
        found = one.select(record)
        assert isinstance(found, RunRecord)
        assert one.knows("reports-generate")
        one.deliver([(3, 0, found)])
        await asyncio.sleep(0)

    asyncio.run(go())
    assert taken.calls == [("dispatched", "reports-generate")]


class Recorded:
    """Stands in for history and journal: runs of many steps, and what went at once."""

    def __init__(self, steps: int, refuses: WriteRefusedError | None = None) -> None:
        self.written: list[list[Outgoing]] = []
        self.done: list[int] = []
        # How many records were written when each was done.
        self.written_at: list[int] = []
        self.refused = b"refused"
        self._steps = steps
        self._refuses = refuses

    @property
    def counts(self) -> list[int]:
        """How many records went at once."""
        return [len(records) for records in self.written]

    async def recorded(self, _partition: int, run_ids: list[str]) -> dict[str, list[str]]:
        """Many steps of each run."""
        return {run: [f"step {number}" for number in range(self._steps)] for run in run_ids}

    async def write(self, records: list[Outgoing]) -> None:
        """Keep them, or refuse."""
        if self._refuses is not None:
            raise self._refuses
        if any(record.value == self.refused for record in records):
            raise RecordRefusedError("too large")
        self.written.append(records)

    def close(self, _partition: int, offset: int) -> None:
        """A record is done."""
        self.done.append(offset)
        self.written_at.append(sum(self.counts))


def forgotten(recorded: Recorded, tell: Tell, *runs: RunRecord | Ended) -> None:
    """Let these runs have ended, at the offsets 0, 1, …; all that follows from it is done."""

    async def forget() -> None:
        part: Any = recorded
        ended = EndedRuns(Updates(load(), "worker", 8), part, part, recorded.close, tell)
        for offset, run in enumerate(runs):
            ended.add(run, 0, offset)
        await ended._forget(0, ended._ended.pop(0))

    asyncio.run(forget())


def told(value: bytes) -> Outgoing:
    """A record that tells of a run."""
    return Outgoing("events", b"key", value)


@pytest.mark.parametrize("refuses", [None, NotAllowedError("steps")])
def test_steps_of_ended_runs_are_removed_in_portions(refuses: WriteRefusedError | None) -> None:
    """As many as a transaction holds; where they can't be, the records stay open."""
    recorded = Recorded(5_000, refuses)
    forgotten(recorded, tells_nothing, Ended(run_id(1)), Ended(run_id(2)))
    assert sum(recorded.counts) == (10_000 if refuses is None else 0)
    assert all(count <= limits.TRANSACTION_RECORDS for count in recorded.counts)
    assert len(recorded.counts) != 1
    assert recorded.done == ([0, 1] if refuses is None else [])


def test_what_is_told_of_an_ended_run_is_written_with_the_removal_of_its_steps() -> None:
    """In one transaction, and the record is done only then; of a removed run nothing is told."""
    recorded = Recorded(2)
    tell = {run_id(1): [told(b"one")], run_id(2): list[Outgoing]()}
    forgotten(
        recorded,
        lambda run: tell[run.run_id],
        run_record(1, status="failed"),
        run_record(2, status="completed"),
        Ended(run_id(3)),
    )
    (written,) = recorded.written
    assert [record.value for record in written] == [b"one", *[None] * 6]
    assert (recorded.done, recorded.written_at) == ([0, 1, 2], [7, 7, 7])


def test_large_records_of_ended_runs_are_written_in_portions() -> None:
    """A transaction holds only so many bytes, and so does this worker."""
    recorded, large = Recorded(1), told(bytes(limits.EVENT_BYTES))
    runs = [run_record(number, status="failed") for number in range(100)]
    forgotten(recorded, lambda _: [large], *runs)
    assert sum(recorded.counts) == 200
    sizes = [sum(record.bytes for record in records) for records in recorded.written]
    assert max(sizes) < limits.TRANSACTION_BYTES
    part: Any = recorded
    ended = EndedRuns(Updates(load(), "worker", 8), part, part, recorded.close, lambda _: [large])
    for number in range(1_000):
        ended.add(run_record(number, status="failed"), 0, number)
        if ended.is_full:
            break
    else:
        pytest.fail("it never has enough")


def test_what_cant_be_told_of_one_run_holds_up_nothing_else() -> None:
    """Neither what is told of others, nor removals; nor does a run that can't be made sense of."""
    recorded = Recorded(1)
    tell = {run_id(1): b"one", run_id(2): recorded.refused, run_id(3): b"three"}
    runs = [run_record(number, status="failed") for number in range(1, 5)]
    forgotten(recorded, lambda run: [told(tell[run.run_id])], *runs)
    values = [record.value for records in recorded.written for record in records]
    assert values == [b"one", b"three", *[None] * 4]
    assert (recorded.done, recorded.written_at) == ([0, 1, 2, 3], [6] * 4)


def test_without_a_right_to_tell_nothing_is_done() -> None:
    """The records are read again."""
    recorded = Recorded(1, NotAllowedError("events"))
    forgotten(recorded, lambda _: [told(b"one")], run_record(1, status="failed"))
    assert (recorded.done, recorded.written) == ([], [])
