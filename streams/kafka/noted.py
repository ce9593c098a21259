"""Reads from the topic `state` for how many partitions its rows were made."""

import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.errors import UnreachableError
from streams.kafka import clients, codes
from streams.kafka.admin import unreachable
from streams.kafka.consumers import PASSING, Fetched, bounds, fetch, follower
from streams.kafka.deadline import NEVER, Deadline
from streams.settings import Settings
from topology import codec, tables

# Every transaction's last record says how far its partition is; starts alone leave others behind.
_TAILS: Final = (16, 1_000)
_POLL_S: Final = 0.2
_AT_ONCE: Final = 1_000


def noted_count(settings: Settings, state: str, deadline: Deadline = NEVER) -> int:
    """The shared partition count for which the rows in the topic `state` were made.

    0 if none is noted: nothing is applied yet, or a release did it that noted no count. Only the
    end of partition 0 is read, which is there whatever the count is.

    Raises:
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: this client may not read the topic.
    """
    client = clients.librdkafka(settings, log_level=0)
    # At the end of the partition the brokers would wait for more.
    consumer = follower(client, f"{settings.application_id}-check", fetch_wait_max_ms=10)
    try:
        low, end = bounds(consumer, TopicPartition(state, 0), deadline.seconds())
        for tail in _TAILS:
            begin = max(low, end - tail)
            place = TopicPartition(state, 0, begin)
            noted = _last(consumer, place, deadline.seconds()) if begin < end else 0
            if noted or begin == low:
                return noted
        return 0
    finally:
        consumer.close()


def _last(consumer: Consumer, place: TopicPartition, within_s: float) -> int:
    """The count that was noted last in the records from a place on, or 0."""
    noted = 0
    patience = time.monotonic() + within_s
    consumer.assign([place])
    while time.monotonic() < patience:
        for message in fetch(consumer, _AT_ONCE, _POLL_S):
            error = message.error()
            if error is None:
                noted = _noted(message, noted)
            elif error.code() == codes.END:
                return noted
            elif error.code() not in PASSING:
                raise unreachable(KafkaException(error))
    raise UnreachableError(f"Kafka doesn't send the end of {place.topic}: try again")


def _noted(message: Fetched, before: int) -> int:
    """The count after a record; a row that can't be read stops its partition, and no process."""
    if message.key() != tables.APPLIED_KEY:
        return before
    try:
        return codec.APPLIED_ROWS.decode(message.value() or b"").partitions
    except codec.CodecError:
        return before
