"""Every consumer is made here: members of a group, and followers, which join none."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import CountermandError, KafkaRefusedError
from streams.kafka import clients, codes
from streams.kafka.admin import TIMEOUT_S, unreachable
from streams.settings import Settings

# A leader is just changing, or a topic so new that not every broker knows it.
PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
# A question with a deadline also waits until the client has heard of the partition. A reader
# doesn't: to it the code means that the partition is gone.
UNSETTLED: Final = (*PASSING, codes.UNKNOWN_PARTITION)
_PAUSE_S: Final = 0.2
_READING: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}


class Fetched(Protocol):
    """A message of a consumer: a record, or an error.

    Unlike the client's own type it says which parts are always there.
    """

    def error(self) -> KafkaError | None:
        """What is wrong, or that the partition's end is reached; None: it is a record."""

    def topic(self) -> str:
        """The topic's full name."""

    def partition(self) -> int:
        """The partition."""

    def offset(self) -> int:
        """The offset; at the end of a partition that of the next record."""

    def timestamp(self) -> tuple[int, int]:
        """The kind of the record's time, and the time in ms since 1970."""

    def key(self) -> bytes | None:
        """The key."""

    def value(self) -> bytes | None:
        """The value; None: a tombstone."""

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """The headers; None where there are none."""


def group_member(
    settings: Settings, group: str, logger: logging.Logger, **extra: object
) -> Consumer:
    """A consumer that gets its partitions from a group, and commits nothing by itself.

    Args:
        settings: Where Kafka is, and after which silence the member loses its partitions.
        group: The full name of the group.
        logger: Gets what the client logs.
        extra: More options of librdkafka; a `_` in a name stands for a `.`.
    """
    config = clients.librdkafka(
        settings,
        group_id=group,
        session_timeout_ms=int(settings.session_timeout.total_seconds() * 1_000),
        auto_offset_reset="earliest",
        # The default waits a second with a full queue, and then runs dry.
        fetch_queue_backoff_ms=10,
        log_level=clients.CRITICAL,
        logger=logger,
        **extra,
    )
    return Consumer(config | _READING)


def follower(client: Mapping[str, Any], group: str, **extra: object) -> Consumer:
    """A consumer of committed records that joins no group and stores no offset.

    Args:
        client: The configuration of the client: see `clients.librdkafka`.
        group: The name that brokers ask for though nobody joins the group.
        extra: Options beside or instead of these; a `_` in a name stands for a `.`.
    """
    options = {"enable.partition.eof": True, "auto.offset.reset": "earliest"}
    return Consumer({**client, "group.id": group, **_READING, **options, **clients.dotted(extra)})


def fetch(consumer: Consumer, most: int, wait_s: float, gather_s: float = 0.0) -> list[Fetched]:
    """At most so many messages: what comes within `gather_s` of a first one, which is waited for.

    Empty where none came within `wait_s`.
    """
    # `consume` alone would wait until it has `most`.
    first = consumer.poll(wait_s)
    if first is None:
        return []
    return cast("list[Fetched]", [first, *consumer.consume(most - 1, gather_s)])


def raise_fatal(
    error: KafkaError, what: str, kind: type[CountermandError] = KafkaRefusedError
) -> None:
    """Raise `kind` where the client can't go on; it mends all other errors by itself.

    Raises:
        CountermandError: `what`, the beginning of the message, can't be read any more.
    """
    if error.fatal() or error.code() == codes.FATAL:
        raise kind(f"{what} can't be read any more: {error.str()}")


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
