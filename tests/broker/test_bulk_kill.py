"""Kill -9 of everything while a cancellation of 100,000 runs is under way."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Producer
from sqlalchemy import func, select

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.database.engine import open_database
from streams.database.schema import RUNS
from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import API, JOINER, READ_MODEL, ROUTER, Service
from tests.support.watch import Watch
from topology import topics

# For 100,000 runs, also where they take ten times as long as elsewhere.
PATIENCE_S = 300
_MOMENT_S = 0.2
RUNS_IN_ALL = 100_000
MATCHING = RUNS_IN_ALL // 2
FUNCTIONS = """
functions:
  - {id: work, app: bulk, triggers: [{event: work/requested}]}
"""
BODY = {"app_id": "bulk", "function_id": "work", "if": f"event.data.n < {MATCHING}"}


class Fleet:
    """One process of each kind, on topics and a database of this test alone."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        name = unique_name("bulk")
        self.settings: Settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
            database_url=f"sqlite:///{folder / 'api.db'}",
        )
        create_topics(self.settings)
        apply_functions(
            clients.librdkafka(self.settings),
            self.settings.topic(topics.FUNCTIONS),
            read_text(FUNCTIONS),
        )
        self.engine = open_database(self.settings)
        _, self._key = create_key(self.engine, "tester", Role.ADMIN, 0, actor=None)
        extra = {"DATABASE_URL": f"sqlite:///{folder / 'api.db'}"}
        self.services = {
            role: Service(role, self.settings, folder, static=role == JOINER, extra=extra)
            for role in (ROUTER, JOINER, READ_MODEL, API)
        }

    def start(self) -> None:
        """Start all, and wait until they work."""
        for one in self.services.values():
            one.start()
        eventually(lambda: all(one.is_ready for one in self.services.values()), PATIENCE_S)

    def kill(self, role: str) -> None:
        """Kill one as a crash does, and let a supervisor start it again."""
        self.services[role].kill()
        self.services[role].start()

    def close(self) -> None:
        """End what still runs."""
        for one in self.services.values():
            one.kill()
        self.engine.dispose()

    def call(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """An answer of the API; None while nobody answers."""
        headers = {"Authorization": f"Bearer {self._key}", **more.pop("headers", {})}
        url = f"{self.services[API].url}{path}"
        try:
            answer = httpx.request(method, url, headers=headers, timeout=30, **more)
        except httpx.HTTPError:
            return None
        return answer if answer.status_code not in {409, 503} else None

    def insist(self, method: str, path: str, **more: Any) -> Any:
        """The data of an answer that goes well, however often it takes to ask."""
        found: list[httpx.Response] = []

        def answered() -> bool:
            answer = self.call(method, path, **more)
            found.extend([answer] if answer is not None else [])
            return bool(found)

        eventually(answered, PATIENCE_S)
        assert found[0].status_code == 200, found[0].text
        return found[0].json()["data"]

    def counts(self, cancellation: str) -> Any:
        """What the API tells of a cancellation."""
        return self.insist("GET", f"/v1/cancellations/{cancellation}")["counts"]


def produce(settings: Settings) -> None:
    """Put all events on the topic."""
    producer = Producer(
        clients.librdkafka(settings, linger_ms=20, queue_buffering_max_messages=RUNS_IN_ALL)
    )
    topic = settings.topic(topics.EVENTS)
    for number in range(RUNS_IN_ALL):
        event = {"name": "work/requested", "data": {"n": number}, "id": f"e{number}"}
        producer.produce(topic, orjson.dumps(event), str(number))
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0


def in_database(fleet: Fleet, *conditions: Any) -> int:
    """How many runs the read model has."""
    with fleet.engine.connect() as connection:
        query = select(func.count()).select_from(RUNS).where(*conditions)
        return connection.execute(query).scalar_one()


def reaches(count: Callable[[], int], least: int) -> None:
    """Wait until a count is reached."""
    eventually(lambda: count() >= least, PATIENCE_S)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_final_counts_are_exact_whoever_is_killed(kafka: str, tmp_path: Path) -> None:
    """S19, S21: every matching run is cancelled once, and everybody counts the same."""
    fleet = Fleet(kafka, tmp_path)
    try:
        fleet.start()
        produce(fleet.settings)
        joiner = fleet.services[JOINER]
        pending = [f'countermand_pending_runs{{partition="{one}"}}' for one in (0, 1)]
        reaches(lambda: round(sum(map(joiner.metric, pending))), RUNS_IN_ALL)
        joiner.pause()  # until the request lies in Kafka
        cancellation = _cancel(fleet)
        _kill_under_way(fleet)
        for share, roles in (
            (0.3, [READ_MODEL, API]),
            (0.5, [JOINER, READ_MODEL]),
            (0.8, [JOINER, API]),
        ):
            reaches(lambda: fleet.counts(cancellation)["scanned"], round(share * RUNS_IN_ALL))
            for role in roles:
                fleet.kill(role)
        _check(fleet, cancellation)
    finally:
        fleet.close()


def _kill_under_way(fleet: Fleet) -> None:
    """Kill the joiner once it has cancelled some runs: as Kafka tells, which lags behind nobody.

    It works for moments in which it can't cancel all of them.
    """
    joiner, watch = fleet.services[JOINER], Watch(fleet.settings)
    places = {(fleet.settings.topic(topics.CANCELLED), number) for number in watch.partitions}

    def done() -> int:
        return sum(watch.ends(places).values())

    def works_a_little() -> int:
        joiner.resume()
        threading.Event().wait(_MOMENT_S)
        joiner.pause()
        return done()

    eventually(works_a_little, PATIENCE_S)
    # Each transaction's end has an offset, too, so these are more than the cancelled runs.
    assert done() < MATCHING, "nothing was left to do at the first kill"
    joiner.kill_paused()
    joiner.start()
    watch.close()


def _cancel(fleet: Fleet) -> str:
    """Ask for the cancellation while the API dies, and ask again until it answers."""
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    body = BODY | {"started_before": before}
    headers = {"Idempotency-Key": "once"}
    fleet.call("POST", "/v1/cancellations", json=body, headers=headers)
    fleet.kill(API)
    return str(fleet.insist("POST", "/v1/cancellations", json=body, headers=headers)["id"])


def _check(fleet: Fleet, cancellation: str) -> None:
    def done() -> bool:
        data = fleet.insist("GET", f"/v1/cancellations/{cancellation}")
        return bool(data["status"] == "done")

    eventually(done, PATIENCE_S)
    counts = fleet.counts(cancellation)
    wanted = {"scanned": RUNS_IN_ALL, "matched": MATCHING, "cancelled": MATCHING}
    wanted |= {"already_ended": 0, "failed": 0}
    assert {name: counts[name] for name in wanted} == wanted
    assert len(fleet.insist("GET", "/v1/cancellations")) == 1

    watch = Watch(fleet.settings)
    cancelled = Counter(orjson.loads(one.value())["id"] for one in watch.read_topic("cancelled"))
    watch.close()
    assert len(cancelled) == MATCHING
    assert set(cancelled.values()) == {1}

    reaches(lambda: in_database(fleet, RUNS.c.cancellation_id == cancellation), MATCHING)
    assert in_database(fleet, RUNS.c.status == "cancelled") == MATCHING
    assert in_database(fleet) == RUNS_IN_ALL
