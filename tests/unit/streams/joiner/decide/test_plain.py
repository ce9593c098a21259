"""Plain registrations beside what isn't plain; that both ways decide alike: `tests/properties`."""

import pytest

from streams.joiner.decide import plain
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.transaction import Input, UndecidableError, decide_batch
from streams.joiner.decide.view import Bounds, Partition, View
from tests.support.rows import MemoryRows
from topology import codec, keys, tables
from topology.limits import Allowance
from topology.records import (
    Cancel,
    Command,
    CommandBatch,
    Definition,
    Entry,
    Function,
    Match,
    Register,
    Topic,
    Trigger,
)
from topology.tables import Checkpoint

TOPIC = Topic("events", b"t" * 16)
RECEIVED = 1_700_000_000_000


def definition(id_: str, version: int = 1) -> Definition:
    """A version of a function."""
    function = Function(app="shop", id=id_, triggers=(Trigger(event="placed"),))
    return Definition(f"shop-{id_}", version, codec.encode_function(function))


def entry(offset: int, *commands: Command) -> Entry:
    """An entry of a source."""
    return Entry(0, 0, offset, RECEIVED, b'{"id":"e"}', commands)


def register(offset: int, which: int = 0, run_id: bytes | None = None) -> Register:
    """The start of a run by the event at this offset."""
    event_key = keys.event_key("shop-a", f"e{offset}")
    return Register(which, run_id or keys.run_id(RECEIVED, event_key, event_key), event_key)


def batch(*entries: Entry) -> CommandBatch:
    """A batch of two functions."""
    return CommandBatch((TOPIC,), (definition("a"), definition("b")), entries)


def view_on(rows: MemoryRows) -> View:
    """What a transaction of the one partition sees."""
    return View(rows, Partition(0, 1), Functions(), RECEIVED, 0)


def runs_of(view: View) -> int:
    """How many runs a transaction registers."""
    return sum(key[:1] == tables.EVENTS for key in view.changed)


def test_entries_go_the_quick_way_up_to_the_first_that_is_not_plain() -> None:
    """A cancel, another function, a second command, or an event that has a run already."""
    given = batch(
        entry(0, register(0)),
        entry(1, register(1)),
        entry(2, Cancel((Match(b"k" * 16),))),
        entry(3, register(3)),
        entry(4, register(4, 1)),
        entry(5, register(5), register(6)),
        entry(7, register(3)),
    )
    view = view_on(MemoryRows())
    assert [plain.register(view, given, at, 9) for at in (0, 2, 3, 4, 5, 6)] == [2, 0, 1, 1, 0, 0]
    assert runs_of(view) == 4


def test_no_more_are_taken_than_asked_for() -> None:
    """A transaction has room for so many commands."""
    given = batch(*(entry(offset, register(offset)) for offset in range(5)))
    assert plain.register(view_on(MemoryRows()), given, 1, 2) == 2


@pytest.mark.parametrize("size", [1, 900, 2_000, 3_000, 100_000])
def test_both_ways_end_where_the_share_of_bytes_is_used_up(size: int) -> None:
    """The rest waits for the next transaction."""
    given = batch(*(entry(offset, register(offset)) for offset in range(5)))
    partition = Partition(0, 1, bounds=Bounds(input=Allowance(size, 1_000)))
    quick, usual = Input(0, given, 0), Input(0, given, 0)
    usual.refused[9, 0] = "no entry of this batch, but the others go the usual way beside it"
    ends = [
        decide_batch(View(MemoryRows(), partition, Functions(), RECEIVED, 0), [one], frozenset())
        for one in (quick, usual)
    ]
    assert ends[0] == ends[1]


def test_an_entry_that_was_applied_before_goes_the_usual_way() -> None:
    """There it is counted and skipped, and its function isn't even noted."""
    given, rows = batch(entry(0, register(0))), MemoryRows()
    first = view_on(rows)
    decide_batch(first, [Input(0, given, 0)], frozenset())
    rows.write(rows.batch(first.changed, first.derived, Checkpoint(b"", 0, 0)))
    again = view_on(rows)
    decide_batch(again, [Input(1, batch(entry(0, register(0, 1))), 0)], frozenset())
    assert (again.changed, dict(again.counts)) == ({}, {("repeated_entries",): 1})


def test_an_entry_that_cannot_be_decided_is_told_by_its_place() -> None:
    """Then all but this one are decided."""
    given = batch(
        entry(0, register(0)), entry(1, register(1, run_id=b"short")), entry(2, register(2))
    )
    record = Input(0, given, 0)
    with pytest.raises(UndecidableError) as raised:
        decide_batch(view_on(MemoryRows()), [record], frozenset())
    assert raised.value.place == (1, 0)
    record.refused[raised.value.place] = "it can't be decided"
    view = view_on(MemoryRows())
    assert decide_batch(view, [record], frozenset()) == [3]
    assert runs_of(view) == 2
