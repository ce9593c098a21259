"""S38: whatever is written to a topic, everything goes on afterwards."""

from contextlib import suppress
from functools import cache
from random import Random
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from streams.functions.definition import read_text
from streams.read_model.batch import Batch
from streams.read_model.batch import Record as ReadRecord
from tests.support.driver import START_MS, Driver
from tests.support.poison import SEEDS, value_like
from topology import codec, keys
from topology.codec import CodecError

Json = Any
RECORDS: Final = 40
EXAMPLES: Final = 250  # together 10,000 records
ID: Final = keys.run_id_text(START_MS.to_bytes(6, "big") + bytes(10))
INPUTS: Final = (
    {"topic": "events"},
    {"topic": "cancels"},
    {
        "topic": "orders",
        "name": {"field": "$.kind"},
        "data": "$.row",
        "id": "$.row.id",
        "user": "$.by",
    },
)
FUNCTIONS: Final = """
functions:
  - id: generate
    app: reports
    triggers:
      - {event: report/requested, if: "event.data.size < 10 || event.ts > 0"}
      - {event: order/placed}
    cancel_on:
      - {event: report/cancelled, match: data.reportId, early_cancel: 1h}
      - {event: account/closed, if: "event.data.user == async.data.user && async.data.n > 0"}
      - {event: stop/all, if: "event.data.size in async.data.sizes"}
    timeouts: {start: 1h, finish: 2h}
"""
DATA: Final = {"reportId": "r", "user": "u", "size": 1, "sizes": [1, 2], "n": 1}
EVENTS: Final = [
    {"name": name, "id": "e", "ts": START_MS, "data": DATA, "user": {"id": 1}}
    for name in ("report/requested", "report/cancelled", "account/closed", "stop/all")
]
CLOUD: Final = [
    {
        "specversion": "1.0",
        "type": "report/requested",
        "id": "c",
        "source": "/a",
        "time": "2026-01-01T00:00:00Z",
        "data": DATA,
    }
]
ORDERS: Final = [{"kind": "order/placed", "row": {"id": 7, **DATA}, "by": "u"}]
_OF_RUN: Final = {"run_id": ID, "attempt": 1, "worker": "w", "at": START_MS, "v": 1}
UPDATES: Final = [
    {"status": "running", **_OF_RUN, "step": "s"},
    {"status": "sleeping", **_OF_RUN, "until": START_MS},
    {"status": "failed", **_OF_RUN, "error": {"name": "E", "message": "m"}},
    {"status": "completed", "function_id": "reports-generate", "event_id": "e"},
    {"status": "heartbeat", "worker": "w", "runs": [{"run_id": ID, "attempt": 1}]},
]


def _request(kind: str, **body: Json) -> Json:
    head = {"request_id": ID, "type": kind, "requested_by": "t", "reason": "r", "at": START_MS}
    return {**head, "body": body, "v": 1}


_NAMED: Final = {"app_id": "reports", "function_id": "generate"}
REQUESTS: Final = [
    _request(
        "cancel_runs", **_NAMED, started_after=1, started_before=START_MS, name="n", dry_run=False
    ),
    _request("cancel_runs", **_NAMED, started_before=START_MS * 2, **{"if": "event.data.n > 0"}),
    _request("stop_cancellation", cancellation_id=ID),
    _request("cancel_run", run_id=ID),
    _request("pause", function_id="reports-generate", running="later", after=1_000),
    _request("pause", function_id="reports-generate", running="now"),
    _request("resume", function_id="reports-generate"),
    _request(
        "replay",
        function_id="reports-generate",
        **{"from": 1},
        to=START_MS * 2,
        statuses=["cancelled", "failed"],
        cancellation_id=ID,
        spread=1_000,
        dry_run=False,
    ),
]
REPLAYED: Final = [
    {
        "function_id": "reports-generate",
        "event": EVENTS[0],
        "replay_of": ID,
        "replay_id": ID,
        "dispatch_at": START_MS,
        "v": 1,
    }
]
FUNCTION: Final = [orjson.loads(codec.encode_function(one)) for one in read_text(FUNCTIONS)]
TOPICS: Final[dict[str, list[Json]]] = {
    "events": EVENTS + CLOUD,
    "cancels": EVENTS,
    "orders": ORDERS,
    "run-updates": UPDATES,
    "requests": REQUESTS,
    "replayed": REPLAYED,
}
CLOUD_HEADERS: Final = [("content-type", b"application/cloudevents+json")]
HEADERS: Final[tuple[Json, ...]] = (
    *(None, [], CLOUD_HEADERS, [("ce_type", b"report/requested"), ("ce_id", b"b")]),
    *([("ce_type", b"\xff")], [("ce_type", None)], [("content-type", b"application/cloudevents")]),
)
KEYS: Final = (
    *(None, b"", b"\xff", b"x", b"reports-generate", b"reports-generate/1", ID.encode()),
    *(b"a/0", b"a/0/b", b"a/x"),
)
# What a producer's clock may say.
TIMES: Final = (0, -1, START_MS - 10**9, START_MS * 2, 2**48 - 1, 2**48, 2**63 - 1)


def record(random: Random) -> tuple[str, bytes | None, Json, int | None]:
    """A topic, and a record's value, headers and time; None: now."""
    topic = random.choice(list(TOPICS))
    of_producer = topic in {one["topic"] for one in INPUTS} and random.random() < 0.1
    at = random.choice(TIMES) if of_producer else None
    return topic, value_like(random, TOPICS[topic]), random.choice(HEADERS), at


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEEDS)
def test_whatever_routers_read_everything_goes_on(seed: int) -> None:
    """Each record is taken, ignored, or refused with a reason of its own; runs go on."""
    random = Random(seed)
    driver = Driver(FUNCTIONS, partitions=2, inputs=INPUTS)
    for topic, value, headers, at in [record(random) for _ in range(RECORDS)]:
        now = driver.now
        with driver.unread():
            driver.record(value, topic=topic, headers=headers, at=at)
        driver.clock.now = now + 1
        driver.read()
    driver.advance("3h")
    driver.restart()

    for partition in driver.partitions:
        assert partition.applied.commands >= 0
    assert driver.count("undecidable_rows") == 0
    letters = driver.dead_letters()
    assert not [letter for letter in letters if letter["class"] == "undecidable"]
    _resume(driver)
    run = driver.event("report/requested", reportId="after", size=1)
    driver.cancel("report/cancelled", reportId="after")
    assert driver.status(run) == "cancelled"
    _read(driver)


def _resume(driver: Driver) -> None:
    driver.request("resume", function_id="reports-generate")
    driver.advance("1s")


def _read(driver: Driver) -> None:
    """The read model takes every record that came of it."""
    batch = Batch()
    for topic, add in (
        ("runs", batch.add_run),
        ("request-progress", batch.add_progress),
    ):
        for record in driver.cluster.records(topic):
            add(ReadRecord(record.key, record.value, driver.now))
    batch.steps()


@settings(max_examples=EXAMPLES // 5, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEEDS)
def test_whatever_is_defined_the_functions_go_on(seed: int) -> None:
    """A record that is no function is counted; what is taken for one registers runs or doesn't."""
    random = Random(seed)
    driver = Driver(FUNCTIONS, partitions=2, inputs=INPUTS)
    for number in range(RECORDS):
        value = value_like(random, FUNCTION)
        with suppress(codec.UnknownLevelError):  # a later release's: who reads it ends, and says so
            driver.registry.apply(1_000 + number, driver.now, random.choice(KEYS), value)
    driver.clock.now += 2_000

    for event in EVENTS:
        driver.record(orjson.dumps(event))
    driver.advance("366d")

    assert driver.count("undecidable_rows") == 0
    letters = driver.dead_letters()
    assert not [letter for letter in letters if letter["class"] == "undecidable"]


@pytest.mark.parametrize("add", [Batch.add_run, Batch.add_request, Batch.add_progress])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEEDS)
def test_whatever_the_read_model_reads_it_says_so(add: Any, seed: int) -> None:
    """A record that is none of its topic's is refused, with one kind of error."""
    random = Random(seed)
    batch = Batch()
    for _ in range(RECORDS):
        value, key = value_like(random, _documents()[add.__name__]), random.choice(KEYS)
        try:
            add(batch, ReadRecord(key, value, START_MS))
        except CodecError:
            continue
    assert batch.steps() is not None


@cache
def _documents() -> dict[str, list[Json]]:
    driver = Driver(FUNCTIONS, partitions=1)
    run = driver.event("report/requested", reportId="r1", size=1)
    driver.claim(run, step="s")
    driver.cancel_runs("reports-generate", if_="event.data.nothing > 0")
    driver.cancel_runs("reports-generate")
    return {
        "add_run": [orjson.loads(one.value or b"") for one in driver.cluster.records("runs")],
        "add_request": REQUESTS,
        "add_progress": [
            orjson.loads(one.value or b"") for one in driver.cluster.records("request-progress")
        ],
    }
