"""Consumers that join no group: whoever makes one says what it reads, and from where."""

from typing import Any, Final

from confluent_kafka import Consumer

from streams.settings import Settings

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
    return Consumer(settings.librdkafka(group_id=group, **(_DEFAULTS | extra)))
