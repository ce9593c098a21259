"""Reads the three topics from the positions in the database, as a member of a consumer group.

The group only distributes the partitions. Offsets are stored in the database alone.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from streams import logs
from streams.kafka import codes
from streams.kafka.consumers import Fetched
from streams.kafka.member import Changes, Member
from streams.metrics import Metrics
from streams.settings import Settings
from topology.topics import TopicPlace

_FETCHED_KIB: Final = 64 * 1024
# Records that come within this time of a first one are written together with it.
_GATHER_S: Final = 0.03
log = logs.get(__name__)


@dataclass
class Intake:
    """The messages of one read.

    Attributes:
        messages: Records, in order per partition.
        ends: The offsets of partitions' ends: all before was read, also markers of transactions.
    """

    messages: list[Fetched] = field(default_factory=list)
    ends: dict[TopicPlace, int] = field(default_factory=dict)


class Source:
    """A consumer that reads nothing until `start` has given the offsets.

    Attributes:
        places: The partitions of this member; None until the group has assigned them.
        is_started: Whether these partitions are read; false after each new assignment.
    """

    def __init__(self, settings: Settings, logger: logging.Logger, metrics: Metrics) -> None:
        """Connect; call `join` or `start` next."""
        self.places: frozenset[TopicPlace] | None = None
        self.is_started = False
        self._member = Member(
            settings,
            settings.read_model_group,
            logger,
            metrics,
            enable_partition_eof=True,
            queued_max_messages_kbytes=_FETCHED_KIB,
            group_instance_id=settings.group_instance_id,
        )

    def join(self, topics: Iterable[str]) -> None:
        """Ask the group for a share of these topics' partitions."""
        self._member.join(topics, Changes(self._assigned, revoked=self._gone, lost=self._gone))

    def start(self, offsets: Mapping[TopicPlace, int]) -> None:
        """Read these partitions, each from its offset."""
        self.places = frozenset(offsets)
        self._member.assign(
            [
                TopicPartition(*place, offset or OFFSET_BEGINNING)
                for place, offset in offsets.items()
            ]
        )
        self.is_started = True

    def halt(self) -> None:
        """Read nothing until `start`; the member keeps its partitions."""
        self._member.assign([])
        self.is_started = False

    def read(self, most: int, timeout_s: float) -> Intake:
        """At most `most` messages: those that come within some ms of a first one.

        Among them may be records of partitions that another member got meanwhile. They can't be
        written, since that member moves the positions.
        """
        intake = Intake()
        add = intake.messages.append
        for message in self._member.fetch(most, timeout_s, _GATHER_S):
            error = message.error()
            if error is None:
                add(message)
            elif error.code() == codes.END:
                intake.ends[message.topic(), message.partition()] = message.offset()
            elif self._member.look_at(error):
                return Intake()
        return intake

    def close(self) -> None:
        """Leave the group, so that other members get the partitions at once."""
        self._member.close()

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self.places = frozenset((place.topic, place.partition) for place in partitions)
        self.halt()
        log.info("Partitions were assigned", number=len(partitions))

    def _gone(self, _partitions: list[TopicPartition]) -> None:
        # The client gives the partitions up when this returns.
        self.places = None
        self.is_started = False
