"""The quick way of plain registrations and the usual way decide alike, whatever comes."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.transaction import Input, decide_batch
from streams.joiner.decide.view import Bounds, Partition, View
from streams.router.batches import Batches
from streams.router.drafts import Registration, Routed
from streams.router.inputs import read_plain
from streams.router.pipeline import Pipeline, ways_of
from streams.router.record import Event, Record
from streams.router.route import EventRouter
from streams.settings import load
from tests.support.rows import MemoryRows
from topology import codec, limits
from topology.limits import VALID_FROM_DELAY_MS, Allowance
from topology.records import CommandBatch
from topology.tables import Checkpoint

FUNCTIONS: Final = """
functions:
  - {id: report, app: p, triggers: [{event: report}], cancel_on: [{event: stop, match: data.a}]}
  - {id: bare, app: p, triggers: [{event: bare}], timeouts: {start: 5ms}, pending_for: 1h}
  - {id: scanned, app: p, triggers: [{event: scanned}], cancel_on: [
      {event: stop, if: "async.data.a > event.data.a"}]}
  - {id: two, app: p, triggers: [{event: report2}, {event: bare2}], cancel_on: [
      {event: stop, match: data.a}, {event: drop, match: data.b}]}
  - {id: own, app: p, triggers: [{event: own}], cancel_on: [{event: own, match: data.a}]}
  - {id: some, app: p, triggers: [{event: some, if: event.data.a == 1}]}
  - {id: first, app: p, triggers: [{event: shared}], cancel_on: [{event: stop, match: data.a}]}
  - {id: second, app: p, triggers: [{event: shared}]}
"""
NAMES: Final = (
    "report", "report", "report", "bare", "scanned", "report2", "own", "some", "shared", "stop",
    "drop", "nothing", "function.cancelled",
)  # fmt: skip
PARTITIONS: Final = 2
SETTINGS: Final = load(topic_prefix="", partitions=PARTITIONS)
IDS: Final = {name: name.encode().ljust(16)[:16] for name in SETTINGS.routed_topics}
NOW: Final = 1_700_000_000_000
# A place that no entry has: beside a refused command everything goes the usual way.
_NOWHERE: Final = (1 << 30, 0)

data: Final = st.fixed_dictionaries(
    {}, optional={"a": st.sampled_from((1, 2, "1", None)), "b": st.integers(0, 1)}
)
drawn_events: Final = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        data,
        st.integers(0, 5),  # which id
        st.integers(0, 2),  # how many ms pass
        st.sampled_from((-9, 0, 0, 0, 1, 50)),  # by how much `ts` lies after the receipt
        st.integers(0, 2),  # which source
        st.booleans(),  # whether it has an id
    ),
    min_size=1,
    max_size=40,
)
bounds: Final = st.sampled_from(
    (
        Bounds(),
        Bounds(input=Allowance(1_500, limits.INPUT_ALLOWANCE.cost)),
        Bounds(met_at_once=0, input=Allowance(4_000, limits.INPUT_ALLOWANCE.cost)),
    )
)


def registry(level: int) -> Registry:
    """The functions at a level."""
    functions = Registry()
    for offset, function in enumerate(read_text(FUNCTIONS)):
        body = orjson.dumps(orjson.loads(codec.encode_function(function)) | {"semantics": level})
        functions.apply(offset, -VALID_FROM_DELAY_MS, f"{function.slug}/{offset}".encode(), body)
    return functions


def records(drawn: Sequence[tuple[Any, ...]]) -> list[Record]:
    """The records of what was drawn."""
    found, at = [], NOW
    offsets = [0, 0, 0]
    for name, fields, number, passed, ahead, source, has_id in drawn:
        at += passed
        event = {"name": name, "data": fields, "ts": at + ahead}
        if has_id:
            event["id"] = f"e{number}"
        topic, partition = (("events", 0), ("events", 1), ("cancels", 0))[source]
        found.append(Record(topic, partition, offsets[source], at, None, orjson.dumps(event)))
        offsets[source] += 1
    return found


@given(drawn_events, st.sampled_from((1, 2)))
@settings(max_examples=150, deadline=None)
def test_routers_make_the_same_of_a_registration(drawn: Any, level: int) -> None:
    """A registration says what the usual way says of its event, and takes the same bytes."""
    functions, router = registry(level), EventRouter(PARTITIONS, "function.cancelled", IDS)
    quick, usual = Batches(IDS), Batches(IDS)
    for record in records(drawn):
        event = read_plain(record)
        assert isinstance(event, Event)
        ways = functions.routes(event.name, record.received)
        expected = router.route_any(record, event, ways) if ways else Routed()
        found = router.route(record, event, functions)
        if isinstance(found, Registration):
            assert found.routed() == expected
            assert quick.register(record, found)
        else:
            assert found == expected
            quick.add(record, found)
        usual.add(record, expected)
    assert quick.take() == usual.take()


@given(drawn_events, st.integers(0, 20), bounds, st.sampled_from((1, 2)), st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_joiners_decide_the_same(
    drawn: Any, again: int, some: Bounds, level: int, at_once: int
) -> None:
    """Rows, records and counts of both ways are equal, transaction by transaction."""
    pipeline, functions = Pipeline(ways_of(SETTINGS, PARTITIONS, IDS), IDS), registry(level)
    batches: list[tuple[int, bytes]] = []
    found = records(drawn)
    for start in range(0, len(found), at_once):
        pipeline.feed(found[start : start + at_once], functions)
        batches += pipeline.take().batches
    batches += batches[:again]  # a router that was killed repeats what it wrote
    for number in range(PARTITIONS):
        partition = Partition(number, PARTITIONS, bounds=some)
        mine = [codec.COMMANDS.decode(value) for to, value in batches if to == number]
        quick, usual = MemoryRows(), MemoryRows()
        both = zip(
            decided(partition, quick, mine, {}),
            decided(partition, usual, mine, {_NOWHERE: "the usual way"}),
            strict=True,
        )
        for one, other in both:
            assert one == other
        assert quick.rows == usual.rows


def decided(
    partition: Partition,
    rows: MemoryRows,
    batches: list[CommandBatch],
    refused: dict[tuple[int, int], str],
) -> Iterator[tuple[Any, ...]]:
    """What each transaction writes, sends and counts."""
    functions = Functions()
    for offset, batch in enumerate(batches):
        record = Input(offset, batch, 0)
        record.refused.update(refused)
        while record.done < record.size:
            view = View(rows, partition, functions, NOW + 9_000, NOW + 1)
            [record.done] = decide_batch(view, [record], frozenset())
            yield (
                record.done, list(view.changed.items()), view.derived, view.outputs, view.forwards,
                dict(view.counts), dict(view.applied), view.pending, dict(view.runs_of), view.bytes,
                view.meter.spent, view.refused, view.cancel_delays_ms,
            )  # fmt: skip
            rows.write(rows.batch(view.changed, view.derived, Checkpoint(b"", offset, 0)))
