"""`read_model`: changes of runs per second, from the topic `runs` into SQLite.

Half of the changes register runs, the other half end them, in the order in which they were
scheduled and many runs later, so that no two changes of a run meet in one transaction. All lie in
the topic, committed, before the process starts. The clock starts when the broker says that it has
all its partitions, and stops when the database holds the last record. Then every run is counted.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson
from confluent_kafka import Producer
from sqlalchemy import Engine, func, select

from streams.clock import now_ms
from streams.database.engine import open_database
from streams.database.schema import POSITIONS, RUNS
from tests.bench import load, outputs
from tests.bench.bench import Bench
from tests.bench.deployment import PARTITIONS, BenchError, Deployment, until
from topology import keys, topics
from topology.topics import TopicPlace

NUMBER: Final = 300_000
# How many runs later a run ends.
_PENDING: Final = 50_000
FUNCTIONS: Final = 20
_RUNS_PER_MS: Final = 5
# An hour ago: long ago, and runs would be deleted as soon as they ended.
_FIRST_MS: Final = now_ms() - 3_600_000
_TRANSACTION: Final = 2_000
_WITHIN_S: Final = 300.0
_ALL_TOPICS: Final = 3


def measure(
    bench: Bench, number: int = NUMBER, launchers: Mapping[str, Sequence[str]] | None = None
) -> Mapping[str, int]:
    """Changes per second, of so many runs; `launchers` go before command lines, by role."""
    with bench.deployment(launchers=launchers) as app:
        last = preload(bench, app, number)
        engine = open_database(app.settings)
        try:
            took = copy(bench, app, engine, last)
            _check(engine, number)
        finally:
            engine.dispose()
    return {"changes_per_s": round(2 * number / took)}


def copy(bench: Bench, app: Deployment, engine: Engine, last: Mapping[TopicPlace, int]) -> float:
    """The seconds that a process takes from its positions to these last offsets; it ends then."""
    service = app.read_model()
    started = outputs.wait_assigned(
        bench.broker, app.settings.read_model_group, _ALL_TOPICS * PARTITIONS, service.check
    )

    def complete() -> bool:
        service.check()
        return _holds(engine, last)

    until(complete, "all changes are in the database", _WITHIN_S)
    took = time.perf_counter() - started
    service.stop()
    return took


def run_id(number: int) -> str:
    """The id of a run."""
    digest = blake2b(str(number).encode(), digest_size=32).digest()
    received = _FIRST_MS + number // _RUNS_PER_MS
    return keys.run_id_text(keys.run_id(received, digest[:16], digest[16:]))


def scheduled(number: int, functions: int = FUNCTIONS) -> dict[str, Any]:
    """A run's first record, as the joiner writes it."""
    event = load.trigger(number, load.report_id(number)).value
    at = _FIRST_MS + number // _RUNS_PER_MS
    return {
        "v": 1,
        "run_id": run_id(number),
        "function_id": f"bench-generate-report-{number % functions}",
        "app_id": "bench",
        "function_version": 1,
        "status": "scheduled",
        "seq": 1,
        "attempt": 1,
        "dispatch": True,
        "at": at,
        "scheduled_at": at,
        "source": {"topic": "bench.events", "partition": 0, "offset": number},
        "event": orjson.Fragment(event),
    }


def cancelled(number: int, functions: int = FUNCTIONS) -> dict[str, Any]:
    """A run's last record."""
    at = _FIRST_MS + (number + _PENDING) // _RUNS_PER_MS
    cause = {
        "type": "event",
        "event": {
            "id": load.cancel_id(number),
            "name": load.CANCELLED,
            "topic": "bench.cancels",
            "partition": 0,
            "offset": number,
            "ts": at,
            "received": at - number % 500,
        },
        "rule": {
            "index": 0,
            "version": 1,
            "expression": "event.data.reportId == async.data.reportId",
        },
        "cancellation_id": None,
        "reason": None,
        "requested_by": None,
    }
    ended = {"status": "cancelled", "seq": 2, "dispatch": False, "at": at, "ended_at": at}
    return scheduled(number, functions) | ended | {"status_before": "scheduled", "cause": cause}


def encoded(change: dict[str, Any]) -> bytes:
    """A record's value."""
    return orjson.dumps(change)


def changes(number: int, functions: int = FUNCTIONS) -> Iterator[dict[str, Any]]:
    """All changes of so many runs, of so many functions by turns."""
    pending: deque[int] = deque()
    for one in range(number):
        yield scheduled(one, functions)
        pending.append(one)
        if len(pending) > _PENDING:
            yield cancelled(pending.popleft(), functions)
    yield from (cancelled(one, functions) for one in pending)


def preload(
    bench: Bench, app: Deployment, number: int, functions: int = FUNCTIONS
) -> dict[TopicPlace, int]:
    """Put the changes into `runs` as joiners do; the last offset of each partition."""
    last: dict[TopicPlace, int] = {}

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        place = message.topic(), message.partition()
        last[place] = max(last.get(place, 0), message.offset())

    sender = load.producer(
        bench.broker, **{"transactional.id": bench.name("runs"), "compression.type": "lz4"}
    )
    sender.init_transactions()
    topic = app.settings.topic(topics.RUNS)
    for count, change in enumerate(changes(number, functions)):
        if count % _TRANSACTION == 0:
            _commit(sender, count)
        key = change["run_id"]
        partition = keys.partition_of_run(keys.run_id_bytes(key), PARTITIONS)
        sender.produce(topic, encoded(change), key, partition, on_delivery=delivered)
    _commit(sender, 1)
    sender.abort_transaction()
    return last


def _commit(sender: Producer, count: int) -> None:
    """End a transaction, but before the first, and begin one."""
    if count:
        sender.commit_transaction()
    sender.begin_transaction()


def _holds(engine: Engine, last: Mapping[TopicPlace, int]) -> bool:
    with engine.connect() as connection:
        rows = connection.execute(select(POSITIONS)).all()
    there = {(row.topic, row.partition): row.next_offset for row in rows}
    return all(there.get(place, 0) > offset for place, offset in last.items())


def _check(engine: Engine, number: int) -> None:
    counted = select(RUNS.c.status, func.count()).group_by(RUNS.c.status)
    with engine.connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(counted)}
    if found != {"cancelled": number}:
        raise BenchError(f"runs in the database: {found}, not {number} cancelled ones")
