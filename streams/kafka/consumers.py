"""Consumers that join no group: whoever makes one says what it reads, and from where."""

import time
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka import clients
from streams.kafka.admin import TIMEOUT_S, unreachable
from streams.settings import Settings

# A leader is just changing, or a topic so new that not every broker knows it.
PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
# What is asked with a deadline also waits until the client has heard of the partition. What is read
# doesn't: its partition is gone.
UNSETTLED: Final = (
    *PASSING,
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001  # librdkafka's public error codes
)
_PAUSE_S: Final = 0.2
_DEFAULTS: Final[dict[str, Any]] = {
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "enable_partition_eof": True,
    "auto_offset_reset": "earliest",
    "allow_auto_create_topics": False,
    "log_level": 0,
}


def follower(settings: Settings, purpose: str, **extra: Any) -> Consumer:  # noqa: ANN401  # librdkafka takes str, int, bool, callables
    """A consumer of committed records, of whose offsets nothing is kept.

    Args:
        settings: Where Kafka is, and by what name we know ourselves there.
        purpose: The last part of its group's name, which brokers ask for and nobody joins.
        extra: Settings of librdkafka beside or instead of ours; a `_` stands for a `.`.
    """
    group = f"{settings.application_id}-{purpose}"
    return Consumer(clients.librdkafka(settings, group_id=group, **(_DEFAULTS | extra)))


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """First offset and end of a partition; a leader that is just changing gets time.

    Raises:
        UnreachableError: the brokers don't answer.
    """
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in UNSETTLED or time.monotonic() > end:
                raise unreachable(error) from error
            time.sleep(_PAUSE_S)
