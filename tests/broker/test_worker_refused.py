"""Records that Kafka never takes: one run fails, and everything else goes on."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams.errors import AbortedError, RecordRefusedError
from streams.kafka import clients
from streams.kafka.admin import admin_client
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.kafka.transactional import TransactionalProducer, producer_config
from streams.sdk.worker.journal import Journal, Outgoing
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.worker import Backend, Shop
from topology import limits
from topology.topics import RUN_UPDATES, STEPS, TopicSpec

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
TIMEOUT_S = 60
SMALL = 20_000


def limit(settings: Settings, spec: TopicSpec, size: int) -> None:
    """Let a topic take smaller records; brokers heed it a little later."""
    name = "max.message.bytes"
    entry = ConfigEntry(name, str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.topic(spec), incremental_configs=[entry])
    admin = admin_client(settings)
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)
    config = clients.librdkafka(settings) | producer_config(unique_name("probe"))
    probe = TransactionalProducer(config, "probe")
    probe.begin_life()
    eventually(lambda: refuses(probe, settings.topic(spec), size))
    probe.close()


def refuses(probe: TransactionalProducer, topic: str, size: int) -> bool:
    """Whether a topic refuses a record that is larger; it is never committed."""
    try:
        probe.rehearse(topic, os.urandom(2 * size))
    except AbortedError:
        return True
    return False


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with topics of this test alone, of which `steps` takes small records only."""
    name = unique_name("refused")
    found = load(
        kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", application_id=name, partitions=2
    )
    create_topics(found)
    limit(found, STEPS, SMALL)
    return found


def written(settings: Settings, records: Sequence[tuple[TopicSpec, int]]) -> list[str]:
    """What becomes of a batch of writes, each of one record of a size: nothing, or the reason."""
    names = [settings.topic(spec) for spec, _ in records]

    async def write() -> list[BaseException | None]:
        journal = Journal(settings, unique_name("w"), asyncio.get_running_loop(), sorted({*names}))
        writes = [
            journal.write([Outgoing(name, b"%d" % number, os.urandom(size))])
            for number, (name, (_, size)) in enumerate(zip(names, records, strict=True))
        ]
        waiting = asyncio.gather(*writes, return_exceptions=True)
        await asyncio.sleep(0)  # all are there before the journal begins, so they are one batch
        stop = threading.Event()
        thread = threading.Thread(target=journal.run, args=(stop,))
        thread.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await waiting
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    found = asyncio.run(write())
    assert all(one is None or isinstance(one, RecordRefusedError) for one in found)
    return ["" if one is None else str(one) for one in found]


def test_of_a_batch_only_what_is_never_taken_fails(settings: Settings) -> None:
    """Whether the client refuses it or a broker; all else is written once."""
    sizes = [(RUN_UPDATES, 100)] * 40
    sizes[7] = STEPS, 3 * SMALL
    sizes[23] = STEPS, limits.MESSAGE_BYTES + 1
    sizes[31] = STEPS, 100
    found = written(settings, sizes)
    assert [number for number, reason in enumerate(found) if reason] == [7, 23]
    assert found[7].startswith(
        f"Kafka refuses a record of 60,001 bytes for {settings.topic(STEPS)}"
    )
    updates = [message.key() for message in read_all(settings, settings.topic(RUN_UPDATES))]
    steps = [message.key() for message in read_all(settings, settings.topic(STEPS))]
    assert (len(updates), len(set(updates)), steps) == (37, 37, [b"31"])


def test_records_that_are_too_large_only_together_are_all_written(settings: Settings) -> None:
    """A client sends several as one, which a topic may refuse."""
    assert written(settings, [(STEPS, SMALL // 4)] * 30) == [""] * 30
    assert len(list(read_all(settings, settings.topic(STEPS)))) == 30


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An app with a worker, whose steps' topic takes no large results."""
    backend = Backend(kafka, tmp_path_factory.mktemp("refused"))
    try:
        backend.start()
        with Shop(backend, lease="30s") as found:
            found.start()
            limit(backend.settings, STEPS, 100_000)
            yield found
    finally:
        backend.close()


def test_an_error_with_a_code_of_3_mb_fails_its_run(shop: Shop) -> None:
    """As any other error does: a record holds the begin of the code."""
    shop.request("calm", "hold load", "render")
    shop.begins("calm", "load")
    shop.request("loud", "load", "shout compute", "render")
    error = shop.reaches("loud", "failed")["error"]
    assert error["name"] == ("LOUD" * 750_000)[: limits.ERROR_NAME_CHARS]
    shop.open_gate("calm")
    assert shop.reaches("calm", "completed")["attempt"] == 1


@pytest.mark.parametrize("function", ["work", "stubborn"])
def test_a_result_that_a_topic_refuses_fails_its_run(shop: Shop, function: str) -> None:
    """With the reason, also where the function swallows errors; other runs keep their leases."""
    calm, large = f"calm-{function}", f"large-{function}"
    shop.request(calm, "hold load", "render")
    shop.begins(calm, "load")
    shop.request(large, "load", "large compute 200000", "render", function=function)
    error = shop.reaches(large, "failed")["error"]
    assert error["name"] == "RecordRefused"
    assert f"for {shop.settings.topic(STEPS)}" in error["message"]
    assert shop.begun(large) == ["load", "compute"]
    shop.open_gate(calm)
    assert shop.reaches(calm, "completed")["attempt"] == 1
