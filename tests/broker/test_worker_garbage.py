"""S38 on a real broker: what others write to the topics that a worker reads doesn't stop it."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from streams.kafka import clients
from tests.support import bad_header
from tests.support.worker import Backend, Shop, Worker
from topology.topics import CANCELLED, FUNCTIONS, RUNS, STEPS, TopicSpec

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
READ = (FUNCTIONS, RUNS, STEPS, CANCELLED)
RUN = b"01M8KRG0NQ5D92PMM8X9C6Y5N2"
KEYS = (None, b"", b"\xff", b"no run", RUN, RUN + b"/load", b"/")
VALUES = (
    None,
    b"",
    b"\xff",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"run_id":"\\ud800","step":"\\ud800","result":1e999}',
    b'{"stopped_at":7}',
    b'{"run_id":"%b","step":"load","attempt":%b}' % (RUN, b"9" * 5_000),
)


def litter(shop: Shop, spec: TopicSpec) -> None:
    """Write all of it to every partition of a topic, as records of the app's functions."""
    topic = shop.settings.topic(spec)
    producer = Producer(clients.librdkafka(shop.settings))
    for partition in range(1 if spec is FUNCTIONS else shop.settings.partitions):
        for slug in (f"{shop.app}-work".encode(), b"\xff", None):
            for key in KEYS:
                for value in VALUES:
                    if key is not None or spec is CANCELLED:  # else brokers refuse it
                        producer.produce(
                            *(topic, value, key, partition),
                            headers=[("function-id", slug), ("x", None)],
                        )
        producer.flush(30)
    bad_header.send(shop.settings.kafka_bootstrap_servers, topic)


@pytest.fixture
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An app without a worker, on a backend of its own."""
    backend = Backend(kafka, tmp_path_factory.mktemp("garbage"))
    try:
        backend.start()
        with Shop(backend, lease="1h") as found:
            yield found
    finally:
        backend.close()


def ignored(worker: Worker, shop: Shop, spec: TopicSpec) -> float:
    """How many records of a topic a worker has ignored."""
    topic = shop.settings.topic(spec)
    return worker.metric(f'countermand_worker_ignored_records_total{{topic="{topic}"}}')


def test_s38_nothing_that_lies_on_a_topic_stops_a_worker(shop: Shop) -> None:
    """Neither at its start nor while it runs: runs are executed, cancelled and cleaned up."""
    shop.register()
    for spec in READ:
        litter(shop, spec)
    worker = shop.start()
    shop.request("held", "load", "hold compute", "render")
    shop.begins("held", "compute")
    for spec in READ:
        litter(shop, spec)
    shop.request("cancelled", "sleep wait 1h")
    shop.reaches("cancelled", "sleeping")
    shop.cancel("cancelled")
    shop.is_cleaned("cancelled")
    shop.open_gate("held")
    assert shop.reaches("held", "completed")["attempt"] == 1
    shop.until(lambda: all(ignored(worker, shop, spec) for spec in (RUNS, STEPS, CANCELLED)))
    assert worker.end() == 0
