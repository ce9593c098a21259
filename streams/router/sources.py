"""The router's consumer: the sources that it owns, and their records."""

import logging
from collections.abc import Callable
from operator import attrgetter
from typing import Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from msgspec import Struct

from streams import crash, logs
from streams.kafka import codes
from streams.kafka.consumers import Fetched
from streams.kafka.headers import headers_of
from streams.kafka.member import Changes, Member
from streams.metrics import Metrics
from streams.router.record import Record, RecordHeaders
from streams.router.watermarks import SourceProgress
from streams.settings import Settings
from topology.codec import CodecError
from topology.topics import TopicPlace

_FETCHED_KIB: Final = 64 * 1024
# Events of the same few ms share a command batch: joiners pay per batch and transaction.
_GATHER_S: Final = 0.008

_RECEIVED: Final = attrgetter("received")

BeforeLoss: TypeAlias = Callable[[], None]
log = logs.get(__name__)


class Intake(Struct):
    """The messages of one read.

    Attributes:
        records: In order, per source.
        unreadable: Records whose headers can't be read, since a name is not UTF-8.
        ends: The offset of each source's end: all before was read, also markers of transactions.
    """

    records: list[Record] = []
    unreadable: list[Record] = []
    ends: dict[TopicPlace, int] = {}

    @property
    def last(self) -> dict[TopicPlace, Record]:
        """The last record of each source."""
        last = {(record.topic, record.partition): record for record in self.records}
        for record in self.unreadable:
            place = record.topic, record.partition
            if place not in last or last[place].offset < record.offset:
                last[place] = record
        return last

    @property
    def received(self) -> int:
        """The latest received time (ms) of all records; 0 where there are none."""
        return max(map(_RECEIVED, self.records), default=0)


class Sources:
    """The sources that this router owns, as a member of the routers' group.

    Rebalances are cooperative: when a router comes or goes, only the sources that move are
    interrupted and hold up the watermark.

    Sources that were lost begin anew wherever they go next: from the committed offset, and without
    a claim until they are read again.
    """

    def __init__(
        self,
        settings: Settings,
        logger: logging.Logger,
        metrics: Metrics,
        before_loss: BeforeLoss,
    ) -> None:
        """Join the group; `before_loss` is called before sources go to another router."""
        self.owned: dict[TopicPlace, SourceProgress] = {}
        self._committed: dict[TopicPlace, int] = {}
        self._before_loss = before_loss
        self._member = Member(
            settings,
            settings.router_group,
            logger,
            metrics,
            partition_assignment_strategy="cooperative-sticky",
            enable_partition_eof=True,
            queued_max_messages_kbytes=_FETCHED_KIB,
            on_commit=self._on_commit,
            group_instance_id=settings.group_instance_id,
        )
        # Of what is lost another router may have committed more already.
        changes = Changes(assigned=self._assigned, revoked=self._revoked, lost=self._drop)
        self._member.join(settings.routed_topics, changes)

    def read(self, most: int, timeout_s: float) -> Intake:
        """At most `most` messages: those that come within some ms of a first one."""
        intake = Intake()
        add = intake.records.append
        for message in self._member.fetch(most, timeout_s, _GATHER_S):
            error = message.error()
            if error is not None:
                if error.code() == codes.END:
                    intake.ends[message.topic(), message.partition()] = message.offset()
                elif self._member.look_at(error):
                    return Intake()
                continue
            try:
                headers = headers_of(message)
            except CodecError:
                # The client fails at one header; the rest of the message can be read.
                intake.unreadable.append(_record(message, None))
            else:
                add(_record(message, headers))
        return intake

    def commit(self) -> None:
        """Commit the offset of every source; what was routed before it must have been written.

        Nobody waits for the answer: where a commit fails, a crash only repeats more.
        """
        offsets = self._uncommitted()
        if offsets:
            self._member.commit(offsets, wait=False)

    def commit_and_wait(self) -> None:
        """Commit and wait, so that the next owner of the sources starts there."""
        offsets = self._uncommitted()
        if not offsets:
            return
        try:
            self._member.commit(offsets, wait=True)
        except KafkaException as error:
            log.warning("The last offsets were not committed", error=error.args[0].str())

    def close(self) -> None:
        """Leave the group, so that other routers get the sources at once."""
        self._member.close()

    def _uncommitted(self) -> list[TopicPartition]:
        offsets = []
        for place, progress in self.owned.items():
            position = progress.next_offset
            if position is not None and position != self._committed.get(place):
                self._committed[place] = position
                offsets.append(TopicPartition(*place, position))
        return offsets

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self.owned[place.topic, place.partition] = SourceProgress()
        if partitions:
            log.info("Sources were assigned", sources=_named(partitions), owned=len(self.owned))

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._before_loss()
        self._drop(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self.owned.pop((place.topic, place.partition), None)
            self._committed.pop((place.topic, place.partition), None)
        if partitions:
            log.info("Sources were given up", sources=_named(partitions), owned=len(self.owned))

    def _on_commit(self, error: KafkaError | None, _partitions: list[TopicPartition]) -> None:
        if error is not None:
            self._committed.clear()
            log.warning("Offsets were not committed", error=error.str())
            return
        crash.crash_at("router_after_commit")


def _record(message: Fetched, headers: RecordHeaders | None) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
    )


def _named(partitions: list[TopicPartition]) -> str:
    return ", ".join(sorted(f"{place.topic}/{place.partition}" for place in partitions))
