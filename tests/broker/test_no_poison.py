"""S38 on a real broker: some hundred wrong records on every topic, and everything goes on."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import Producer

from streams.kafka import clients
from streams.kafka.producers import Sender
from streams.kafka.tail import read_all
from streams.settings import Settings
from tests.support.cli import json_of, run
from tests.support.deadline import eventually
from tests.support.joining import PATIENCE_S, Joining, ids
from tests.support.poison import value_like
from tests.support.services import API, READ_MODEL, Service
from tests.support.worker import Backend, Shop, Worker
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
Json = Any
EACH = 60
SEED = 1
# Those that only Countermand writes stop a partition, as they must.
STOPPING = (topics.COMMANDS, topics.FORWARDS, topics.STATE)


class Everything:
    """Every kind of process, and an app with a worker."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.backend = Backend(kafka, folder)
        url = {"DATABASE_URL": f"sqlite:///{folder}/read.db"}
        self.read_model = Service(READ_MODEL, self.backend.settings, folder, extra=url)
        self.api = Service(API, self.backend.settings, folder, extra=url)
        self.backend.start()
        where = {name.lower(): value for name, value in url.items()}
        made = run("keys", "create", "ann", "--role", "admin", "--json", **where)
        self.key = json_of(made)["key"]
        self.read_model.start()
        self.api.start()
        self.shop = Shop(self.backend)
        self.worker: Worker = self.shop.start()
        self.processes = (
            *(self.backend.router, self.backend.joiner, self.read_model, self.api, self.worker),
        )
        eventually(lambda: all(one.is_ready for one in self.processes), PATIENCE_S)

    def close(self) -> None:
        """End all of them."""
        self.shop.__exit__()
        for one in self.processes:
            one.end()
            print(one.name, *one.last_words(20), sep="\n")

    def runs(self) -> list[Json]:
        """What `GET /v1/runs` answers."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.get(f"{self.api.url}/v1/runs?limit=100", headers=headers, timeout=30)
        assert answer.status_code == HTTPStatus.OK, answer.text
        found: list[Json] = answer.json()["data"]
        return found


@pytest.fixture
def everything(kafka: str, tmp_path: Path) -> Iterator[Everything]:
    """All processes, on topics of this test alone."""
    found = Everything(kafka, tmp_path)
    yield found
    found.close()


def test_whatever_is_written_every_process_goes_on(everything: Everything) -> None:
    """Then a run is started, takes its steps, is cancelled and cleaned up, and is shown."""
    shop = everything.shop
    shop.request("before", "load")
    shop.reaches("before", "completed")
    sender = Sender(shop.settings)
    random, wrong = Random(SEED), 0
    written = [spec for spec in topics.TOPICS if spec not in STOPPING]
    for spec, documents in [(spec, samples(shop.settings, spec)) for spec in written]:
        for number in range(EACH):
            value = value_like(random, documents)
            key = (b"\xff", b"x", b"a/b/c")[number % 3]
            if value is not None or "compact" not in spec.cleanup:
                sender.send(shop.settings.topic(spec), value, key=key)
                wrong += 1
    sender.flush()
    assert wrong > 500

    shop.request("after", "load", "hold render")
    shop.begins("after", "render")
    shop.cancel("after")
    shop.open_gate("after")
    shop.is_cleaned("after")
    assert [run["status"] for run in eventually(lambda: stopped(everything), PATIENCE_S)] == [
        "Cancelled"
    ]
    for process in everything.processes:
        assert process.wait(0) is None, process.last_words(30)
        eventually(lambda process=process: process.is_ready, PATIENCE_S)  # type: ignore[misc]


def stopped(everything: Everything) -> list[Json]:
    """The run after the wrong records, once its worker has left it."""
    ours = [run for run in everything.runs() if run["event_id"].endswith("/after")]
    return [run for run in ours if run["stopped_at"]]


def samples(settings: Settings, spec: topics.TopicSpec) -> list[Json]:
    """Records as they lie on a topic, or like those of its kind."""
    name = settings.topic(spec)
    found = [one.value() for one in read_all(settings, name)]
    read = [orjson.loads(value) for value in found if value and value[:1] == b"{"]
    return read[-5:] or [{"name": name, "data": {}, "run_id": "x", "function_id": "x"}]


def test_foreign_bytes_stop_one_partition_which_an_operator_lets_go_on(joining: Joining) -> None:
    """It names the record and the remedy; the other partition goes on all the time."""
    names = ids("r", 20)
    joiner = joining.joiner(number=1)
    joiner.start()
    joining.feed.start(*names)
    joining.await_applied()
    place = joining.settings.topic(topics.COMMANDS), 0
    [(_, end)] = joining.watch.ends([place]).items()
    producer = Producer(clients.librdkafka(joining.settings))
    producer.produce(place[0], b"\xff", partition=place[1])
    assert producer.flush(30) == 0

    eventually(lambda: f"{place[0]}/0@{end}" in joiner.readiness, PATIENCE_S)
    assert "COUNTERMAND_SKIP_RECORDS" in joiner.readiness
    eventually(lambda: joiner.metric('countermand_unready_seconds{partition="0"}'), PATIENCE_S)
    assert joiner.metric('countermand_unready_seconds{partition="1"}') == 0
    joining.feed.stop(*names)
    joining.await_applied(partitions=[1])
    there = {name for name in names if joining.home(name) == 1}
    assert set(joining.cancelled()) == there
    assert joiner.end() == 0

    again = joining.joiner(number=2, SKIP_RECORDS=f"{place[0]}/0@{end}")
    again.start()
    joining.await_applied()
    joining.check(names, names)
    assert again.end() == 0
