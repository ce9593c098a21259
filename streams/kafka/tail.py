"""Reads all partitions of a topic for the command line: committed records alone."""

import time
from collections.abc import Callable, Container, Iterator
from typing import Final

from confluent_kafka import Consumer, Message, TopicPartition

from streams.kafka import clients
from streams.kafka.consumers import bounds, follower, is_record, partitions_of
from streams.kafka.ranges import RangeReader
from streams.settings import Settings

_POLL_S: Final = 0.2


def follow(
    settings: Settings,
    topic: str,
    *,
    from_beginning: bool = False,
    idle_seconds: float | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Iterator[Message]:
    """The records of a topic as they come.

    Args:
        settings: Where Kafka is.
        topic: The topic's full name.
        from_beginning: Whether to begin with the oldest record instead of the next one.
        idle_seconds: End when no record has come for so long; None: never.
        on_ready: Is called once reading has a beginning: every record written later is seen.

    Raises:
        NotFoundError: the topic is missing.
        UnreachableError: the brokers don't answer.
    """
    consumer = _consumer(settings)
    try:
        _assign(consumer, topic, from_beginning=from_beginning)
        if on_ready is not None:
            on_ready()
        last = time.monotonic()
        while idle_seconds is None or time.monotonic() - last < idle_seconds:
            message = consumer.poll(_POLL_S)
            if message is not None and is_record(message):
                yield message
                last = time.monotonic()
    finally:
        consumer.close()


def count_partitions(settings: Settings, topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        NotFoundError: the topic is missing.
        UnreachableError: the brokers don't answer.
    """
    consumer = _consumer(settings)
    try:
        return len(partitions_of(consumer, topic))
    finally:
        consumer.close()


def read_all(
    settings: Settings, topic: str, only: Container[int] | None = None
) -> Iterator[Message]:
    """The committed records that a topic, or some of its partitions, holds now.

    Raises:
        NotFoundError: the topic is missing.
        UnreachableError: the brokers don't answer.
    """
    with RangeReader(settings, topic) as reader:
        yield from reader.read(reader.bounds(only))


def _consumer(settings: Settings) -> Consumer:
    client = clients.librdkafka(settings, log_level=0)
    return follower(client, f"{settings.application_id}-cli")


def _assign(consumer: Consumer, topic: str, *, from_beginning: bool) -> None:
    starts = []
    for partition in partitions_of(consumer, topic):
        low, high = bounds(consumer, TopicPartition(topic, partition))
        starts.append(TopicPartition(topic, partition, low if from_beginning else high))
    consumer.assign(starts)
