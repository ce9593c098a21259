"""Which cancelled runs have stopped, by what a real broker has of them."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping

import orjson
import pytest
from confluent_kafka import Producer

from streams.clock import now_ms
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.metrics import Metrics
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.stopped_runs import StoppedRuns
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


def write(settings: Settings, runs: Mapping[str, bytes | None], at_ms: int) -> None:
    """Write records of `runs` as a joiner does."""
    producer = Producer(clients.librdkafka(settings))
    for run, value in runs.items():
        home = keys.partition_of_run(keys.run_id_bytes(run), PARTITIONS)
        producer.produce(settings.topic(RUNS), value, run, home, timestamp=at_ms)
    assert producer.flush(30) == 0


def stopped_runs(
    settings: Settings,
    asked: dict[str, int],
    clock: Callable[[], float] = time.monotonic,
    stop: threading.Event | None = None,
) -> set[str] | None:
    """Those of the runs that have stopped; None if not all was read."""
    ignored = Ignored(Figures(Metrics()))
    runs = StoppedRuns(settings, PARTITIONS, ignored, stop or threading.Event(), clock)
    found: set[str] = set()
    return found if runs.look_for(asked, found.add) else None


def test_what_says_so_has_stopped_and_what_does_not_has_not(settings: Settings) -> None:
    """However long ago it was; a tombstone says so too."""
    stopped, goes_on, removed, new = (run_id(number) for number in range(4))
    old = {stopped: cancelled_run(stopped, NOW), goes_on: cancelled_run(goes_on, None)}
    write(settings, old | {removed: None}, LONG_AGO)
    write(settings, {new: cancelled_run(new, NOW)}, NOW)
    asked = {stopped: LONG_AGO, goes_on: LONG_AGO, removed: LONG_AGO, new: NOW}
    assert stopped_runs(settings, asked) == {stopped, removed, new}


def test_what_is_gone_with_its_tombstone_has_stopped(settings: Settings) -> None:
    """Else its cleanup would wait for ever; right after the cancel, a record is only on its way."""
    gone, on_its_way = run_id(1), run_id(2)
    asked = {gone: LONG_AGO, on_its_way: NOW}
    # A topic just made may have no leader yet.
    assert eventually(lambda: stopped_runs(settings, asked)) == {gone}


def test_without_brokers_nothing_has_stopped(settings: Settings) -> None:
    """What can't be read says nothing, also of runs from long ago."""
    away = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert stopped_runs(away, {run_id(1): LONG_AGO}) is None


def test_a_stop_is_found_however_long_the_reading_takes(settings: Settings) -> None:
    """Reading goes on while there are records; here 300 of them take four minutes."""
    first, last = run_id(1), run_id(2)
    others = {other: cancelled_run(other, None) for other in map(run_id, range(10, 310))}
    write(settings, {first: cancelled_run(first, NOW)}, LONG_AGO)
    write(settings, others, LONG_AGO)
    write(settings, {last: cancelled_run(last, NOW)}, NOW)
    # It is asked twice for each record, and once where none has come yet.
    slow = itertools.count(0, 0.4)
    asked = {first: LONG_AGO, last: LONG_AGO}
    assert stopped_runs(settings, asked, lambda: next(slow)) == {first, last}


def test_a_look_ends_when_the_worker_does(settings: Settings) -> None:
    """And then says nothing about what it has not read."""
    stop = threading.Event()
    stop.set()
    assert stopped_runs(settings, {run_id(1): LONG_AGO}, stop=stop) is None


def test_s38_records_that_are_none_hold_up_no_look(settings: Settings) -> None:
    """Whatever their keys and values are."""
    stopped = run_id(1)
    write(settings, {stopped: b"[" * 100_000}, LONG_AGO)
    producer = Producer(clients.librdkafka(settings))
    for partition in range(PARTITIONS):
        producer.produce(settings.topic(RUNS), b"\xff", b"\xff", partition, timestamp=NOW)
        producer.produce(settings.topic(RUNS), None, b"\xff", partition, timestamp=NOW)
    assert producer.flush(30) == 0
    write(settings, {stopped: cancelled_run(stopped, NOW)}, NOW)
    assert stopped_runs(settings, {stopped: LONG_AGO}) == {stopped}
