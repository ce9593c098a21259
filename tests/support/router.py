"""Routers as processes, and what they wrote beside what a pure pipeline makes of the inputs."""

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    OffsetSpec,
)
from msgspec import Struct

from streams.functions.reader import RegistryReader
from streams.kafka import clients, codes
from streams.kafka.topics import inspect_topics
from streams.router.pipeline import Pipeline, ways_of
from streams.router.record import Record
from streams.settings import Settings
from tests.support.deadline import eventually
from topology import codec, topics
from topology.records import Command, CommandBatch

# Partition, topic, partition and offset of the source.
RoutedPlace = tuple[int, str, int, int]
Source = tuple[int, str, int]
Commands = tuple[Command, ...]


class RouterProcess:
    """A router of its own; leaving the block kills it if it still runs."""

    def __init__(self, settings: Settings, *, crash_at: str = "", member: str = "router") -> None:
        """Start one; a static member gets its partitions back at once after a crash."""
        env = {name: one for name, one in os.environ.items() if not name.startswith("COUNTERMAND_")}
        env |= {
            "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "COUNTERMAND_TOPIC_PREFIX": settings.topic_prefix,
            "COUNTERMAND_APPLICATION_ID": settings.application_id,
            "COUNTERMAND_GROUP_INSTANCE_ID": member,
            "COUNTERMAND_SESSION_TIMEOUT": "6s",
            "COUNTERMAND_WEB_PORT": "0",
        }
        if crash_at:
            env["COUNTERMAND_CRASH_AT"] = crash_at
        code = "from streams.settings import load; from streams.router.process import run_router; "
        self._process = subprocess.Popen(
            [sys.executable, "-c", code + "run_router(load())"], env=env
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def stop(self) -> int:
        """End it as an orchestrator does, and wait; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(60)

    def wait(self, seconds: float = 60) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._process.wait(seconds)


class Written(Struct):
    """What lies on `commands`.

    Attributes:
        entries: By place, the commands; of repeats the first.
        progress: Every batch that says how far a router is complete, oldest first.
        repeats: How many entries were written again.
    """

    entries: dict[RoutedPlace, Commands]
    progress: list[CommandBatch]
    repeats: int


def produce(settings: Settings, records: Iterable[tuple[str, int, bytes | None]]) -> None:
    """Write records to topics (named without prefix) and partitions, and wait for all."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    for topic, partition, value in records:
        producer.produce(settings.topic_prefix + topic, value, partition=partition)
    assert producer.flush(30) == 0


def read(settings: Settings, topic: str) -> list[Any]:
    """All messages that lie on a topic now, committed ones only; per partition in order."""
    config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "group.id": "test",
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
    consumer = Consumer(config)
    try:
        found = list(consumer.list_topics(topic, 10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in found])
        return list(_until_ends(consumer, len(found)))
    finally:
        consumer.close()


def _until_ends(consumer: Consumer, ends: int) -> Iterator[Any]:
    while ends:
        message = consumer.poll(30)
        assert message is not None, "the topic is not served"
        error = message.error()
        if error is None:
            yield message
        else:
            assert error.code() == codes.END, error
            ends -= 1


def written(settings: Settings) -> Written:
    """What routers wrote: sources in order, repeats equal to the first time, claims kept."""
    found = Written({}, [], 0)
    highest: dict[Source, int] = defaultdict(lambda: -1)
    claimed: dict[Source, tuple[int, int]] = defaultdict(lambda: (-1, 0))
    for message in read(settings, settings.topic(topics.COMMANDS)):
        batch = codec.COMMANDS.decode(message.value())
        if batch.progress:
            found.progress.append(batch)
        for claim in batch.progress:
            claimed[message.partition(), batch.topics[claim.topic].name, claim.partition] = (
                claim.offset,
                claim.time,
            )
        for entry in batch.entries:
            source = message.partition(), batch.topics[entry.topic].name, entry.partition
            place = (*source, entry.offset)
            if entry.offset <= highest[source]:
                assert found.entries[place] == entry.commands, "a repeat is equal"
                found.repeats += 1
            else:
                offset, time = claimed[source]
                assert entry.offset > offset, "nothing new lies behind a claim"
                assert entry.received >= time, "nothing received before a claim's time comes"
                found.entries[place] = entry.commands
                highest[source] = entry.offset
    return found


def expected(settings: Settings) -> dict[RoutedPlace, Commands]:
    """What a pure pipeline makes of everything that lies on the inputs now."""
    ids = dict.fromkeys(settings.routed_topics, bytes(16))
    pipeline = Pipeline(ways_of(settings, settings.partitions, ids), ids)
    with RegistryReader(
        clients.librdkafka(settings), settings.topic(topics.FUNCTIONS)
    ) as functions:
        registry = functions.load()
        for topic in settings.routed_topics:
            for one in read(settings, topic):
                place = one.topic(), one.partition(), one.offset(), one.timestamp()[1]
                record = Record(*place, one.key(), one.value(), one.headers())
                pipeline.feed([record], registry)
    found = {}
    for partition, data in pipeline.take().batches:
        batch = codec.COMMANDS.decode(data)
        for entry in batch.entries:
            topic = batch.topics[entry.topic].name
            found[partition, topic, entry.partition, entry.offset] = entry.commands
    return found


def committed(
    settings: Settings, places: Iterable[tuple[str, int]] | None = None
) -> Counter[tuple[str, int]]:
    """The offsets that routers committed, by source; of all sources if none are named."""
    config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "group.id": settings.router_group,
        "log_level": 0,
    }
    consumer = Consumer(config)
    try:
        asked = [TopicPartition(*place) for place in places or sources(settings)]
        answer = consumer.committed(asked, timeout=30)
        return Counter({(one.topic, one.partition): max(0, one.offset) for one in answer})
    finally:
        consumer.close()


def sources(settings: Settings) -> list[tuple[str, int]]:
    """Every partition that routers read."""
    states = inspect_topics(settings).topics
    return [
        (name, one) for name in settings.routed_topics for one in range(states[name].partitions)
    ]


def ends(settings: Settings) -> Counter[tuple[str, int]]:
    """Where the sources end, open transactions included."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers, "log_level": 0})
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets({TopicPartition(*place): latest for place in sources(settings)})
    return Counter({(one.topic, one.partition): it.result().offset for one, it in asked.items()})


def wait_until_committed(settings: Settings) -> None:
    """Wait until routers have committed everything that lies on the inputs now."""
    goal = ends(settings)

    def reached() -> bool:
        now = committed(settings, list(goal))
        return all(now[place] >= end for place, end in goal.items())

    eventually(reached)
