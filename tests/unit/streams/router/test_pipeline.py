"""The whole way from records to batches and dead letters."""

from collections.abc import Sequence

import orjson
import pytest

from streams.functions.registry import Registry
from streams.router.pipeline import Output, Pipeline, ways_of
from streams.router.record import Record, Rejection
from streams.settings import Settings, load
from tests.unit.streams.router.conftest import RECEIVED, Apply, an_event
from topology import codec
from topology.records import CancelRule, Command, Trigger

BY_ORDER = CancelRule(event="dropped", match="data.order")


@pytest.fixture
def settings() -> Settings:
    """Two inputs, one of them our own cancelled events."""
    inputs = [{"topic": "events"}, {"topic": "countermand.cancelled"}]
    return load(partitions=4, inputs=inputs)


@pytest.fixture
def pipeline(settings: Settings) -> Pipeline:
    """A pipeline over the topics of the settings."""
    ids = dict.fromkeys(settings.routed_topics, bytes(16))
    return Pipeline(ways_of(settings, settings.partitions, ids), ids)


def run(pipeline: Pipeline, registry: Registry, records: Sequence[Record]) -> Output:
    """The output of some records."""
    pipeline.feed(records, registry)
    return pipeline.take()


def entries(output: Output) -> list[tuple[int, int, tuple[Command, ...]]]:
    """Partition, offset and commands of every entry."""
    return [
        (partition, entry.offset, entry.commands)
        for partition, data in output.batches
        for entry in codec.COMMANDS.decode(data).entries
    ]


def test_mixed_records(pipeline: Pipeline, registry: Registry, apply: Apply) -> None:
    """Each record is routed, ignored or refused, and counted so."""
    apply("ship", ["placed"], BY_ORDER)
    output = run(
        pipeline,
        registry,
        [
            an_event("placed", offset=0, data={"order": 1}),
            an_event("unknown", offset=1),
            Record("events", 1, 2, RECEIVED, b"k", b"{", [("h", b"1")]),
            an_event("dropped", offset=3, data={"order": 1}),
            Record("countermand.requests", 0, 0, RECEIVED, None, b'{"type":"explode"}'),
            Record("countermand.replayed", 0, 0, RECEIVED, None, b"{}"),
            Record("countermand.run-updates", 0, 0, RECEIVED, None, b"{}"),
        ],
    )
    assert [offset for _, offset, _ in entries(output)] == [0, 3]
    assert output.counts.routed == {"events": 2}
    assert output.counts.ignored == {"events": 1}
    assert output.counts.dead == {
        "events": 1,
        "countermand.requests": 1,
        "countermand.replayed": 1,
        "countermand.run-updates": 1,
    }
    assert output.counts.rejections == {
        "not_json": 1,
        "bad_request": 1,
        "bad_replay": 1,
        "bad_update": 1,
    }
    letter = output.dead_letters[0]
    assert (letter.key, letter.value) == (b"k", b"{")
    assert ("h", b"1") in letter.headers
    assert ("countermand.error.stage", b"router") in letter.headers


def test_output_is_given_once(pipeline: Pipeline, registry: Registry, apply: Apply) -> None:
    """What was taken is gone, its counts too."""
    apply("ship", ["placed"])
    run(pipeline, registry, [an_event("placed"), an_event("")])
    output = pipeline.take()
    assert output.batches == []
    assert output.dead_letters == []
    assert not output.counts.routed + output.counts.dead


@pytest.mark.parametrize("received", [-1, 1 << 48])
def test_record_without_a_time_is_refused(
    pipeline: Pipeline, registry: Registry, received: int
) -> None:
    """A run id has 48 bits of received time."""
    output = run(pipeline, registry, [an_event("placed", received=received, ts=1)])
    assert output.counts.rejections == {"no_timestamp": 1}


def test_record_may_be_routed_and_refused(
    pipeline: Pipeline, registry: Registry, apply: Apply
) -> None:
    """Where one of two functions can't take an event, there are a run and a dead letter."""
    apply("ship", ["placed"], pending_for_ms=1)
    apply("bill", ["placed"])
    output = run(pipeline, registry, [an_event("placed", ts=RECEIVED + 1_000)])
    assert len(entries(output)) == 1
    assert output.counts.routed == output.counts.dead == {"events": 1}
    assert len(output.dead_letters) == 1


def test_unanswered_conditions_are_told(
    pipeline: Pipeline, registry: Registry, apply: Apply
) -> None:
    """An `if` without an answer is counted by function (S16)."""
    apply("ship", [Trigger(event="placed", if_="event.data.pages > 0")])
    output = run(pipeline, registry, [an_event("placed"), an_event("placed", offset=1)])
    assert [slug for slug, _ in output.errors] == ["shop-ship", "shop-ship"]
    assert output.counts.ignored == {"events": 2}


def test_own_cancelled_events_may_be_an_input(
    pipeline: Pipeline, registry: Registry, apply: Apply
) -> None:
    """A function triggered by cancellations of others gets the event as it was sent."""
    apply("audit", ["function.cancelled"])
    value = {
        "v": 1, "name": "function.cancelled", "id": "r1", "ts": RECEIVED,
        "data": {"function_id": "shop-ship"},
    }  # fmt: skip
    headers: list[tuple[str, bytes | None]] = [("ce_type", b"x"), ("ce_id", b"y")]
    record = Record("countermand.cancelled", 0, 0, RECEIVED, None, orjson.dumps(value), headers)
    output = run(pipeline, registry, [record])
    [(_, data)] = output.batches
    [entry] = codec.COMMANDS.decode(data).entries
    assert orjson.loads(entry.event) == value


def test_record_that_fits_no_message_is_refused(registry: Registry, apply: Apply) -> None:
    """Too many runs of one event are a dead letter, not a router that can't go on."""
    settings = load(partitions=1)
    ids = dict.fromkeys(settings.routed_topics, bytes(16))
    pipeline = Pipeline(ways_of(settings, settings.partitions, ids), ids)
    long = CancelRule(event="dropped", if_=f"event.data.x == async.data.x + '{'x' * 1_900}'")
    for number in range(170):
        apply(f"f{number}", ["placed"], *[long] * 5)
    record = an_event("placed", data={"x": "x" * 500_000})
    record = Record("countermand.events", 0, 0, RECEIVED, None, record.value)
    output = run(pipeline, registry, [record])
    assert output.batches == []
    assert output.counts.rejections == {"too_many_runs": 1}
    assert output.counts.routed == {}


def test_unreadable_record_is_refused(pipeline: Pipeline) -> None:
    """What can't even be looked at is refused with the caller's reason."""
    pipeline.refuse(an_event("placed"), Rejection("bad_header", "why"))
    output = pipeline.take()
    assert output.counts.rejections == {"bad_header": 1}
    assert len(output.dead_letters) == 1
