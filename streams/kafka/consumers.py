"""Makes every consumer: members of groups, and followers, which join no group."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.errors import NotFoundError
from streams.kafka import clients, codes
from streams.kafka.admin import REACH_TIMEOUT_S, unreachable
from streams.kafka.deadline import TIMEOUT_S
from streams.settings import Settings

# The leader is just changing, or the topic is so new that not every broker knows it. Or a follower
# lacks a right that only members need, which its brokers say at any time while it reads, or never.
PASSING: Final = (
    codes.NO_GROUP_RIGHT,
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

    Attributes:
        error: Gives what is wrong, or that the partition's end is reached; None for a record.
        offset: Gives the offset; at a partition's end that of the next record.
        timestamp: Gives the kind of the time, and the time in ms since 1970.
        value: Gives the value; None for a tombstone.
    """

    error: Callable[[], KafkaError | None]
    topic: Callable[[], str]
    partition: Callable[[], int]
    offset: Callable[[], int]
    timestamp: Callable[[], tuple[int, int]]
    key: Callable[[], bytes | None]
    value: Callable[[], bytes | None]
    headers: Callable[[], list[tuple[str, bytes | None]] | None]


def group_member(
    settings: Settings, group: str, logger: logging.Logger, **extra: object
) -> Consumer:
    """The client of a `Member`: it shares topics' partitions, and commits nothing by itself.

    `group` is its full name; `logger` gets what the client logs; `extra`: see `clients.dotted`.
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

    `client`: see `clients.librdkafka`; `extra`: more options, which win, see `clients.dotted`.
    Brokers ask for the name of a `group`, though nobody joins it.
    """
    options = {"enable.partition.eof": True, "auto.offset.reset": "earliest"}
    return Consumer({**client, "group.id": group, **_READING, **options, **clients.dotted(extra)})


def fetch(consumer: Consumer, most: int, wait_s: float, gather_s: float = 0.0) -> list[Fetched]:
    """At most `most` messages: a first one, and those that follow it within `gather_s`.

    Empty where no message comes within `wait_s`.
    """
    # `consume` alone would wait until it has `most` messages.
    first = consumer.poll(wait_s)
    if first is None:
        return []
    return cast("list[Fetched]", [first, *consumer.consume(most - 1, gather_s)])


def partitions_of(
    consumer: Consumer, topic: str, within_s: float = REACH_TIMEOUT_S
) -> Sequence[int]:
    """The partitions of a topic.

    Raises:
        NotFoundError: the topic is missing.
        UnreachableError: the brokers don't answer.
    """
    try:
        metadata = consumer.list_topics(topic, timeout=within_s).topics[topic]
    except KafkaException as error:
        raise unreachable(error) from error
    if metadata.error is not None:
        raise NotFoundError(f"Topic {topic} is missing. Run: countermand topics create")
    return sorted(metadata.partitions)


def is_end(message: Message) -> bool:
    """Whether a message says that a partition is read to its end."""
    error = message.error()
    return error is not None and error.code() == codes.END


def is_record(message: Message) -> bool:
    """Whether a message is a record: not the end of a partition, nor trouble that passes.

    Raises:
        UnreachableError: the message is another error.
    """
    error = message.error()
    if error is None:
        return True
    if is_end(message) or error.code() in PASSING:
        return False
    raise unreachable(KafkaException(error))


def bounds(
    consumer: Consumer, place: TopicPartition, within_s: float = TIMEOUT_S
) -> tuple[int, int]:
    """The first offset of a partition and its end; a leader that is just changing gets time.

    Raises:
        UnreachableError: the brokers don't answer.
    """
    end = time.monotonic() + within_s
    while True:
        try:
            left_s = max(_PAUSE_S, end - time.monotonic())
            return consumer.get_watermark_offsets(place, timeout=left_s)
        except KafkaException as error:
            if error.args[0].code() not in UNSETTLED or time.monotonic() > end:
                raise unreachable(error) from error
            time.sleep(_PAUSE_S)
