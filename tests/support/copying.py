"""Read models as processes on the shared broker: what a test feeds them, what they must hold."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from sqlalchemy import Engine, Table, select

from streams.database.engine import open_database
from streams.database.schema import FAILURES, PROGRESS, REQUESTS, RUNS
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support import records
from tests.support.deadline import eventually
from tests.support.recount import counted, recount
from tests.support.services import READ_MODEL, Service
from tests.support.watch import Watch

PATIENCE_S = 90
Rows = dict[str, dict[Any, dict[str, Any]]]
_JSON = {"event", "cause", "error", "body", "sample"}
# What the table says otherwise than the record.
_RENAMED = {"at": "changed_at"}
_EVENTS = {"event_id": "id", "event_name": "name"}


class Copying:
    """Topics of a test alone, two partitions, and the read models that it starts."""

    def __init__(self, bootstrap: str, name: str, folder: Path, database_url: str) -> None:
        self.settings: Settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
            database_url=database_url,
        )
        create_topics(self.settings)
        self.watch = Watch(self.settings)
        self.engine: Engine = open_database(self.settings)
        self._random = random.Random(name)
        self._folder = folder
        self._services: list[Service] = []
        self._producer = Producer(
            clients.librdkafka(self.settings, transactional_id=name, linger_ms=5, log_level=0)
        )
        self._producer.init_transactions()
        self._seqs: dict[int, int] = {}

    def service(self, number: int = 1, *, static: bool = True, **extra: str) -> Service:
        """A read model that isn't started yet."""
        url = self.settings.database_url
        assert url is not None
        extra = {"DATABASE_URL": url.get_secret_value()} | extra
        one = Service(
            READ_MODEL, self.settings, self._folder, number=number, static=static, extra=extra
        )
        self._services.append(one)
        return one

    def close(self) -> None:
        """End what still runs."""
        for one in self._services:
            one.kill()
        self.engine.dispose()
        self.watch.close()

    @contextmanager
    def transaction(self, *, abort: bool = False) -> Iterator[None]:
        """Committed, or aborted, when the block ends: as joiners write."""
        self._producer.begin_transaction()
        yield
        if abort:
            self._producer.flush()
            self._producer.abort_transaction()
        else:
            self._producer.commit_transaction()

    def put(self, topic: str, key: str, record: Mapping[str, Any] | bytes | None) -> None:
        """Write one record to the partition that its key gives."""
        value = record if isinstance(record, bytes | None) else records.encoded(dict(record))
        partition = sum(key.encode()) % self.settings.partitions
        self._producer.produce(self.settings.topic_prefix + topic, value, key, partition)
        self._producer.poll(0)

    def put_run(self, record: dict[str, Any]) -> None:
        """Write one record of `runs`."""
        self.put("runs", record["run_id"], record)

    def put_some(self, changes: int, runs: int = 500) -> None:
        """Write so many random changes of so many runs; some are removals, some are aborted."""
        while changes > 0:
            size = min(changes, self._random.randrange(1, 400))
            is_aborted = self._random.random() < 0.1
            before = dict(self._seqs)
            with self.transaction(abort=is_aborted):
                for _ in range(size):
                    self._put_change(self._random.randrange(runs))
            if is_aborted:
                self._seqs = before
            else:
                changes -= size

    def _put_change(self, number: int) -> None:
        seq = self._seqs.get(number, 0) + 1
        if seq > 1 and self._random.random() < 0.1:
            del self._seqs[number]
            self.put("runs", records.run_id(number), None)
            return
        self._seqs[number] = seq
        make = self._random.choice((records.run, records.cancelled))
        self.put_run(make(number, seq=seq))

    def expected(self) -> Rows:
        """What the tables must hold: each key's last committed record, read from Kafka alone."""
        last: dict[str, dict[str, Any]] = {"runs": {}, "requests": {}, "request-progress": {}}
        for topic, found in last.items():
            for message in self.watch.read_topic(topic):
                key, value = message.key().decode(), message.value()
                if value is None:
                    found.pop(key, None)
                elif topic == "requests":
                    record = json.loads(value) | {"target": key}
                    found.setdefault(record["request_id"], record)
                else:
                    found[key] = json.loads(value)
        parts = last["request-progress"]
        return {
            "runs": {key: _run(one) for key, one in last["runs"].items()},
            "requests": {key: _of(REQUESTS, one) for key, one in last["requests"].items()},
            "progress": {k: _of(PROGRESS, v) for k, v in parts.items() if k.count("/") == 1},
            "failures": {
                f"{v['request_id']}/{v['run_id']}": v["failed"]
                for k, v in parts.items()
                if k.count("/") > 1
            },
        }

    def held(self) -> Rows:
        """What the tables hold, in the same shape."""
        found: Rows = {
            "runs": {row["run_id"]: row for row in self._rows(RUNS)},
            "requests": {row["request_id"]: row for row in self._rows(REQUESTS)},
            "progress": {
                f"{row['request_id']}/{row['partition']}": row for row in self._rows(PROGRESS)
            },
            "failures": {
                f"{row['request_id']}/{row['run_id']}": row["error"] for row in self._rows(FAILURES)
            },
        }
        for row in found["requests"].values():
            del row["received_at"], row["function_id"]
        return found

    def check_equal(self) -> None:
        """Wait until the tables hold what Kafka does; fail with what differs."""
        expected = self.expected()
        try:
            eventually(lambda: self.held() == expected, PATIENCE_S)
        except AssertionError:
            held = self.held()
            differing = {
                (kind, key): (held[kind].get(key), expected[kind].get(key))
                for kind in expected
                for key in held[kind].keys() | expected[kind].keys()
                if held[kind].get(key) != expected[kind].get(key)
            }
            raise AssertionError(f"{len(differing)}: {list(differing.items())[:3]}") from None

    def check_counted(self) -> None:
        """Wait until activity is what the records in Kafka say."""
        read = [
            (message.value(), message.timestamp()[1]) for message in self.watch.read_topic("runs")
        ]
        expected = recount(read)
        eventually(lambda: counted(self.engine) == expected, PATIENCE_S)

    def _rows(self, table: Table) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(select(table))]
        return [
            {
                name: json.loads(value) if name in _JSON and value and name != "error" else value
                for name, value in row.items()
            }
            for row in rows
        ]


def _run(record: dict[str, Any]) -> dict[str, Any]:
    row = {column.name: record.get(column.name) for column in RUNS.c}
    row |= {column: record[name] for name, column in _RENAMED.items()}
    row |= {column: record["event"][name] for column, name in _EVENTS.items()}
    return row | {f"source_{name}": value for name, value in record["source"].items()}


def _of(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    left_out = {"received_at", "function_id"}
    return {one.name: record.get(one.name) for one in table.c if one.name not in left_out}
