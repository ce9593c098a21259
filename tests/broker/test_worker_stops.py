"""Which cancelled runs have stopped, by what a real broker has of them."""

import orjson
import pytest
from confluent_kafka import Producer

from streams.clock import now_ms
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.sdk.worker.stopped_runs import find_stopped_runs
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from topology import keys, limits
from topology.topics import RUNS

pytestmark = pytest.mark.broker
PARTITIONS = 2
NOW = now_ms()
LONG_AGO = NOW - 3 * limits.DAY_MS


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with topics of this test alone."""
    prefix = unique_name("stops") + "."
    found = load(kafka_bootstrap_servers=kafka, topic_prefix=prefix, partitions=PARTITIONS)
    create_topics(found)
    return found


def run_id(number: int) -> str:
    """A run's id."""
    key = keys.event_key("shop-render", str(number))
    return keys.run_id_text(keys.run_id(NOW, key, key))


def cancelled_run(run: str, stopped_at: int | None) -> bytes:
    """The last record of a cancelled run."""
    return orjson.dumps(
        {
            "run_id": run,
            "function_id": "shop-render",
            "app_id": "shop",
            "status": "cancelled",
            "attempt": 1,
            "dispatch": False,
            "scheduled_at": LONG_AGO,
            "event": {},
            "stopped_at": stopped_at,
        }
    )


def write(settings: Settings, runs: dict[str, bytes | None], at_ms: int) -> None:
    """Write records of `runs` as a joiner does."""
    producer = Producer(clients.librdkafka(settings))
    for run, value in runs.items():
        home = keys.partition_of_run(keys.run_id_bytes(run), PARTITIONS)
        producer.produce(settings.topic(RUNS), value, run, home, timestamp=at_ms)
    assert producer.flush(30) == 0


def test_what_says_so_has_stopped_and_what_does_not_has_not(settings: Settings) -> None:
    """However long ago it was; a tombstone says so too."""
    stopped, goes_on, removed, new = (run_id(number) for number in range(4))
    old = {stopped: cancelled_run(stopped, NOW), goes_on: cancelled_run(goes_on, None)}
    write(settings, old | {removed: None}, LONG_AGO)
    write(settings, {new: cancelled_run(new, NOW)}, NOW)
    asked = {stopped: LONG_AGO, goes_on: LONG_AGO, removed: LONG_AGO, new: NOW}
    assert find_stopped_runs(settings, PARTITIONS, asked) == {stopped, removed, new}


def test_what_is_gone_with_its_tombstone_has_stopped(settings: Settings) -> None:
    """Else its cleanup would wait for ever; right after the cancel, a record is only on its way."""
    gone, on_its_way = run_id(1), run_id(2)
    asked = {gone: LONG_AGO, on_its_way: NOW}
    # A topic just made may have no leader yet.
    assert eventually(lambda: find_stopped_runs(settings, PARTITIONS, asked)) == {gone}


def test_without_brokers_nothing_has_stopped(settings: Settings) -> None:
    """What can't be read says nothing, also of runs from long ago."""
    away = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert find_stopped_runs(away, PARTITIONS, {run_id(1): LONG_AGO}) == set()
