"""Reads all partitions of a topic for the command line: committed records alone."""

import time
from collections.abc import Callable, Container, Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams.errors import NotFoundError
from streams.kafka import clients, codes
from streams.kafka.admin import REACH_TIMEOUT_S, unreachable
from streams.kafka.consumers import PASSING, bounds, follower
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
            if message is not None and _is_record(message):
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
        return len(_partitions(consumer, topic))
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
    consumer = _consumer(settings)
    try:
        open_partitions = _assign(consumer, topic, from_beginning=True, only=only)
        while open_partitions:
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            if _is_record(message):
                yield message
            elif _is_end(message):
                open_partitions.discard(message.partition() or 0)
    finally:
        consumer.close()


def _consumer(settings: Settings) -> Consumer:
    client = clients.librdkafka(settings, log_level=0)
    return follower(client, f"{settings.application_id}-cli")


def _assign(
    consumer: Consumer, topic: str, *, from_beginning: bool, only: Container[int] | None = None
) -> set[int]:
    partitions = [one for one in _partitions(consumer, topic) if only is None or one in only]
    starts = []
    for partition in partitions:
        low, high = bounds(consumer, TopicPartition(topic, partition))
        starts.append(TopicPartition(topic, partition, low if from_beginning else high))
    consumer.assign(starts)
    return set(partitions)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    try:
        metadata = consumer.list_topics(topic, timeout=REACH_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise unreachable(error) from error
    if metadata.error is not None:
        raise NotFoundError(f"Topic {topic} is missing. Run: countermand topics create")
    return sorted(metadata.partitions)


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == codes.END


def _is_record(message: Message) -> bool:
    """Whether a message is a record: not the end of a partition, nor trouble that passes.

    Raises:
        UnreachableError: the message is another error.
    """
    error = message.error()
    if error is None:
        return True
    if _is_end(message) or error.code() in PASSING:
        return False
    raise unreachable(KafkaException(error))
