"""Reads the three topics from where the database is, as one of the read model's consumer group.

The group only shares the partitions out. It never stores an offset: those are in the database.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streams import logs
from streams.kafka import codes
from streams.kafka.consumers import Fetched, fetch, group_member, raise_fatal
from streams.settings import Settings
from topology.topics import TopicPlace

_FETCHED_KIB: Final = 64 * 1024
# What comes within this time of a first record is written together with it.
_GATHER_S: Final = 0.03
_log = logs.get(__name__)


@dataclass
class Intake:
    """What one look at the consumer gave.

    Attributes:
        messages: Records, in order per partition.
        ends: Where partitions end: all before was read, markers of transactions too.
    """

    messages: list[Fetched] = field(default_factory=list)
    ends: dict[TopicPlace, int] = field(default_factory=dict)


class Source:
    """A consumer that reads nothing before `start` has said from where.

    Attributes:
        places: The partitions that are ours, if any; None while the group hasn't said so.
        is_started: Whether all of them are read; false again after each change of them.
    """

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        """Connect; `join` or `start` comes next."""
        self.places: frozenset[TopicPlace] | None = None
        self.is_started = False
        self._limiter = logs.Limiter()
        self._consumer = group_member(
            settings,
            settings.read_model_group,
            logger,
            enable_partition_eof=True,
            queued_max_messages_kbytes=_FETCHED_KIB,
            group_instance_id=settings.group_instance_id,
        )

    def join(self, topics: Iterable[str]) -> None:
        """Ask the group for a share of these topics' partitions."""
        self._consumer.subscribe(
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def start(self, offsets: Mapping[TopicPlace, int]) -> None:
        """Read these partitions, each from its offset."""
        self.places = frozenset(offsets)
        self._consumer.assign(
            [
                TopicPartition(*place, offset or OFFSET_BEGINNING)
                for place, offset in offsets.items()
            ]
        )
        self.is_started = True

    def halt(self) -> None:
        """Read nothing until `start`; the partitions stay ours."""
        self._consumer.assign([])
        self.is_started = False

    def read(self, most: int, timeout_s: float) -> Intake:
        """Whatever comes within some ms of a first record; at most so many.

        What was read of partitions that went away meanwhile is in it too: it can't be written,
        since their positions move.
        """
        intake = Intake()
        add = intake.messages.append
        for message in fetch(self._consumer, most, timeout_s, _GATHER_S):
            error = message.error()
            if error is None:
                add(message)
            else:
                self._take_error(message, error, intake)
        return intake

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        self._consumer.close()

    def _take_error(self, message: Fetched, error: KafkaError, intake: Intake) -> None:
        if error.code() == codes.END:
            intake.ends[message.topic(), message.partition()] = message.offset()
            return
        raise_fatal(error, "The topics")
        if self._limiter.admit(error.code()) is not None:
            # librdkafka mends by itself what can be mended.
            _log.warning("Kafka reports trouble with the topics", error=error.str())

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.places = frozenset((one.topic, one.partition) for one in partitions)
        self.halt()
        _log.info("Partitions were assigned", number=len(partitions))

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        # The binding gives them up when we return.
        self.places = None
        self.is_started = False
