"""What a worker has read of `runs`: dispatches, positions, and what is not for it."""

import asyncio
from typing import Any

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streams.sdk import App
from streams.sdk.worker.dispatches import Dispatch, Dispatches
from streams.sdk.worker.intake import Ended, Intake
from streams.sdk.worker.offsets import Offsets
from streams.sdk.worker.stopped_runs import has_stopped
from tests.support.claimed import function, run_id, run_record
from topology.records import RunRecord


def dispatch(number: int, *, known: bool = True, partition: int = 0, offset: int = 0) -> Dispatch:
    """A run that waits to be claimed."""
    return Dispatch(run_record(number), function() if known else None, partition, offset)


# Dispatches


def test_runs_are_claimed_in_the_order_of_their_dispatch() -> None:
    """The longest wait comes first; those of unknown functions are never taken."""
    waiting = Dispatches()
    for number, known in enumerate([True, False, True]):
        assert waiting.add(dispatch(number, known=known)) is None
    assert len(waiting) == 2
    taken = [waiting.take(), waiting.take()]
    assert [one.record.run_id for one in taken if one] == [run_id(0), run_id(2)]
    assert waiting.take() is None


@pytest.mark.parametrize("known", [True, False])
def test_a_later_dispatch_takes_the_place_of_an_earlier_one(known: bool) -> None:
    """The earlier record needn't be read again."""
    waiting = Dispatches()
    first, second = dispatch(0, known=known, offset=3), dispatch(0, offset=9)
    waiting.add(first)
    assert waiting.add(second) is first
    assert waiting.take() is second


@pytest.mark.parametrize("known", [True, False])
def test_a_run_that_went_on_waits_no_more(known: bool) -> None:
    """Nobody claims it."""
    waiting = Dispatches()
    one = dispatch(0, known=known)
    waiting.add(one)
    assert waiting.take_out(run_id(0)) is one
    assert waiting.take_out(run_id(0)) is None
    assert waiting.take() is None


def test_dispatches_go_with_their_partitions() -> None:
    """Whoever reads the partition now claims them."""
    waiting = Dispatches()
    for number in range(4):
        waiting.add(dispatch(number, known=number != 1, partition=number % 2))
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


# Records


def message(slug: str | None, value: bytes | None) -> Message:
    """A record of `runs`."""
    headers = [] if slug is None else [("function-id", slug.encode())]
    return Message(key=run_id().encode(), value=value, headers=list(headers))


class Taken:
    """Stands in for everything that an intake hands over to: keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def dispatched(self, found: list[Dispatch]) -> None:
        """Runs to claim."""
        self.calls.append(("dispatched", *[one.function is not None for one in found]))

    def went_on(self, run_id: str) -> None:
        """A run went on."""
        self.calls.append(("went on", run_id))

    def add(self, run_id: str, partition: int, offset: int) -> None:
        """A run has ended."""
        self.calls.append(("ended", run_id, partition, offset))

    def done(self, partition: int, offset: int) -> None:
        """Nothing to do."""
        self.calls.append(("done", partition, offset))

    def revoked(self, partitions: set[int]) -> None:
        """Partitions went."""
        self.calls.append(("revoked", partitions))


def intake(taken: Taken) -> Intake:
    """An intake of an app with one function."""
    app = App("reports")
    app.functions["generate"] = function()
    return Intake(app, taken, taken, taken)  # type: ignore[arg-type]  # as much as it uses


def selected(record: Message) -> object:
    """What an intake makes of a record."""

    async def select() -> object:
        return intake(Taken()).select(record)

    return asyncio.run(select())


def test_only_runs_of_the_app_are_selected() -> None:
    """Those of functions that this worker doesn't have too: another one may."""
    value = msgspec.json.encode(run_record())
    assert isinstance(selected(message("reports-generate", value)), RunRecord)
    assert isinstance(selected(message("reports-new", value)), RunRecord)
    assert isinstance(selected(message("reports-generate", None)), Ended)
    foreign = msgspec.json.encode(run_record(app_id="reports-2"))
    for record in (
        message("mail-send", value),
        message(None, value),
        message("reports-2-send", foreign),
        message("reports-generate", b"{"),
    ):
        assert selected(record) is None


def test_each_record_goes_where_it_belongs() -> None:
    """Dispatches to be claimed, ends to be forgotten, the rest past."""
    run = run_id()
    records = [
        run_record(),
        run_record(function_id="reports-new"),
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
        ("dispatched", True),
        ("dispatched", False),
        ("went on", run),
        ("done", 3, 2),
        ("went on", run),
        ("ended", run, 3, 3),
        ("went on", run),
        ("ended", run, 3, 4),
        ("revoked", {3}),
        ("revoked", {3}),
    ]


@pytest.mark.parametrize(
    ("value", "stopped"),
    [
        (msgspec.json.encode(run_record(status="cancelled")), False),
        (msgspec.json.encode(run_record(status="cancelled", stopped_at=7)), True),
        (None, True),
        (b"{", False),
        ("text", False),
    ],
)
def test_a_run_has_stopped_when_runs_says_so(value: bytes | str | None, stopped: bool) -> None:
    """Or when it was removed: whoever had it has long left it."""
    assert has_stopped(value) is stopped
