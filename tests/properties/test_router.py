"""Properties of routing: any record is handled, and what a router writes can be read."""

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.functions.registry import Registry
from streams.router.pipeline import Output, Pipeline, ways_of
from streams.router.record import Record, RecordHeaders
from streams.settings import load
from topology import codec, keys, limits
from topology.limits import VALID_FROM_DELAY_MS
from topology.records import Cancel, CancelRule, Function, Register, Trigger

P = 4
INPUTS: list[dict[str, Any]] = [
    {"topic": "plain"},
    {"topic": "mapped", "name": {"field": "name"}, "data": "data", "id": "id", "user": "user"},
    {"topic": "const", "name": {"const": "placed"}},
]
SETTINGS = load(partitions=P, inputs=INPUTS)
TOPICS = SETTINGS.routed_topics
FUNCTIONS = (
    Function(
        app="shop",
        id="ship",
        triggers=(Trigger(event="placed", if_="event.data.x != 3"),),
        cancel_on=(
            CancelRule(event="dropped", match="data.x"),
            CancelRule(event="placed", if_="event.data.y == async.data.y || event.id == async.id"),
            CancelRule(event="stopped", all_runs=True),
        ),
    ),
    Function(
        app="shop",
        id="bill",
        triggers=(Trigger(event="dropped"), Trigger(event="placed")),
        cancel_on=(
            CancelRule(event="closed", match="data.x"),
            CancelRule(event="dropped", match="data.z"),
        ),
    ),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
events = st.fixed_dictionaries(
    {"name": st.sampled_from(["placed", "dropped", "stopped", "other"])},
    optional={
        "data": st.dictionaries(st.sampled_from("xyz"), json_values) | json_values,
        "id": st.text(max_size=300) | json_values,
        "ts": st.integers(0, 1 << 50) | st.datetimes().map(str) | json_values,
        "user": json_values,
        "status": st.sampled_from(["running", "heartbeat", "completed", "failed"]) | json_values,
        "run_id": st.text(alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26),
        "attempt": st.integers(),
        "type": st.sampled_from(["placed", "pause"]) | json_values,
    },
)
headers = st.none() | st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "ce_type", "ce_id", "ce_specversion", "ce_time", "ce_source"]
        )
        | st.text(max_size=5),
        st.none()
        | st.binary(max_size=8)
        | st.sampled_from(
            [b"application/cloudevents+json", b"application/json", b"1.0", b"placed"]
        ),
    ),
    max_size=6,
)


def dumps(value: object) -> bytes:
    """JSON of any value, in Python's spelling where JSON has none."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Two functions that trigger and cancel in every way."""
    functions = Registry()
    for offset, function in enumerate(FUNCTIONS):
        body = codec.encode_function(function)
        functions.apply(offset, -VALID_FROM_DELAY_MS, f"{function.slug}/{offset}".encode(), body)
    return functions


def route(registry: Registry, records: list[Record]) -> Output:
    """The output for some records, after checking that it can be read and is within bounds."""
    ids = dict.fromkeys(TOPICS, bytes(16))
    pipeline = Pipeline(ways_of(SETTINGS, P, ids), ids)
    pipeline.feed(records, registry)
    output = pipeline.take()
    for partition, data in output.batches:
        assert len(data) <= limits.MESSAGE_BYTES
        check_batch(partition, data)
    counts = output.counts
    told = counts.routed.total() + counts.ignored.total() + len(output.dead_letters)
    assert told >= len(records)
    return output


def check_batch(partition: int, data: bytes) -> None:
    """Check that runs are in their home partition, and that entries have the event they need."""
    batch = codec.COMMANDS.decode(data)
    for entry in batch.entries:
        if entry.event:
            event = orjson.loads(entry.event)
            assert {"name", "data", "id", "ts"} <= event.keys()
        needed = any(isinstance(command, Register | Cancel) for command in entry.commands)
        assert bool(entry.event) == needed, "the event is there where it is read, and only there"
        for command in entry.commands:
            if isinstance(command, Register):
                assert keys.partition_of_run(command.run_id, P) == partition
                assert keys.received_ms(command.run_id) == entry.received
                assert batch.definitions[command.definition].slug.startswith("shop-")


@settings(deadline=None)
@given(
    topic=st.sampled_from(TOPICS),
    value=st.none()
    | st.binary(max_size=200)
    | json_values.map(dumps)
    | events.map(dumps)
    | st.builds(lambda raw, cut: dumps(raw)[:cut], events, st.integers(0, 80)),
    given=headers,
    received=st.integers(-2, 1 << 49),
)
def test_any_record_has_an_answer(
    registry: Registry, topic: str, value: bytes | None, given: RecordHeaders, received: int
) -> None:
    """A router raises for no bytes, headers or times."""
    output = route(registry, [Record(topic, 1, 7, received, b"key", value, given)])
    assert len(output.dead_letters) == output.counts.rejections.total() <= 1


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("field", ["name", "status", "type", "function_id"])
def test_text_that_is_not_utf8_is_refused(registry: Registry, topic: str, field: str) -> None:
    """A record whose first text can't be decoded becomes a dead letter of any topic."""
    record = Record(topic, 1, 7, 1_000, None, b'{"%b": "\xff"}' % field.encode())
    assert route(registry, [record]).counts.rejections.total() == 1


@settings(deadline=None)
@given(event=events, received=st.integers(0, 1 << 44))
def test_repeats_are_routed_alike(registry: Registry, event: dict[str, Any], received: int) -> None:
    """A record that is read twice gives the same bytes twice."""
    record = Record("plain", 1, 7, received, None, dumps(event))
    assert route(registry, [record]) == route(registry, [record])


def test_a_thousand_malformed_records(registry: Registry) -> None:
    """Damaged events, byte by byte, are each routed, ignored or refused with a reason."""
    chance = random.Random(7)
    good = dumps({"name": "placed", "data": {"x": 1, "y": [2, "z"]}, "id": "e1", "ts": 5})
    records = []
    for offset in range(1_000):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        records.append(Record("plain", 0, offset, 1_000, None, bytes(damaged)))
    output = route(registry, records)
    assert len(output.dead_letters) > 500
    assert {name for name, _ in output.dead_letters[0].headers} >= {
        f"countermand.error.{part}" for part in ("topic", "partition", "offset", "class", "message")
    }


@settings(deadline=None)
@given(count=st.integers(1, 1_500), size=st.integers(0, 2_000))
def test_order_is_kept_per_source(registry: Registry, count: int, size: int) -> None:
    """A source's entries keep their order in every partition, over any number of batches."""
    records = [
        Record(
            "plain", number % 2, number, 1_000, None,
            dumps({"name": "placed", "id": f"e{number}", "data": {"x": number, "p": "p" * size}}),
        )
        for number in range(count)
    ]  # fmt: skip
    seen: dict[tuple[int, int], int] = {}
    total = 0
    for partition, data in route(registry, records).batches:
        for entry in codec.COMMANDS.decode(data).entries:
            assert entry.offset > seen.get((partition, entry.partition), -1)
            seen[partition, entry.partition] = entry.offset
            total += any(isinstance(command, Register) for command in entry.commands)
    assert total >= count, "one or two functions start a run of each"
