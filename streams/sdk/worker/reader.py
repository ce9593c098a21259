"""Reads a topic as a member of a consumer group, in a thread; commits offsets of done records."""

import logging
import threading
import time
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaException, Message, TopicPartition

from streams import logs
from streams.kafka.member import Changes, Member
from streams.metrics import Metrics
from streams.sdk.worker.offsets import Offsets, begins
from streams.settings import Settings

_MOST: Final = 500
_POLL_S: Final = 0.1
_COMMIT_EVERY_S: Final = 1.0
_ANSWER_S: Final = 10.0
_PAUSE_S: Final = 0.2
log = logs.get(__name__)


class Left(NamedTuple):
    """A record that is left to members of the group that know `name`; it isn't open."""

    name: str


class Handler(Protocol):
    """Handles the records that a reader reads; the reader's thread makes all calls."""

    def select(self, message: Message) -> object | None:
        """The work that a record asks for, `Left`, or None; with work, it is open until done."""

    def knows(self, name: str) -> bool:
        """Whether `select` takes records of this name, which other members have left."""

    def deliver(self, found: list[tuple[int, int, object]]) -> None:
        """Take the work of records, each as partition, offset and work."""

    def assigned(self, partitions: set[int]) -> None:
        """The reader has these partitions now."""

    def revoked(self, partitions: set[int]) -> None:
        """The reader no longer has these partitions."""


class GroupReader:
    """One member of a consumer group; a thread calls `run`, until `stop` is set.

    Attributes:
        is_full: Set it to pause reading.
        is_away: Set it to leave the group, so that other members get the partitions.
        has_joined: Whether the group has given it a place.
    """

    def __init__(self, settings: Settings, metrics: Metrics, group: str, topic: str) -> None:
        """Connect; `run` joins the group."""
        self.is_full = False
        self.is_away = False
        self.has_joined = False
        self._is_member = False
        self._rejoins = False
        self._topic = topic
        self._offsets = Offsets()
        self._lock = threading.Lock()
        self._owned: set[int] = set()
        # None: partitions were assigned since; some may be paused, and others not.
        self._paused: bool | None = False
        self._member = Member(
            settings,
            group,
            logging.getLogger(f"{__name__}.kafka"),
            metrics,
            partition_assignment_strategy="cooperative-sticky",
        )

    def done(self, partition: int, offset: int) -> None:
        """Note that the work of a record is done; may be called in any thread."""
        with self._lock:
            self._offsets.done(partition, offset)

    def rejoin(self) -> None:
        """Leave the group and join it again, to read what was left to members that know more.

        May be called in any thread.
        """
        self._rejoins = True

    def run(self, stop: threading.Event, handler: Handler) -> None:
        """Read records for `handler` until `stop` is set, then leave the group."""
        committed_at = time.monotonic()
        try:
            while not stop.is_set():
                self._attend(stop, handler)
                self._hold_back()
                self._read(handler)
                if time.monotonic() - committed_at > _COMMIT_EVERY_S:
                    committed_at = time.monotonic()
                    self._commit(wait=False)
        finally:
            self._commit(wait=True)
            self._member.close()

    def _attend(self, stop: threading.Event, handler: Handler) -> None:
        """Join the group, or leave it while `is_away` is set."""
        if self._rejoins:
            self._rejoins = False
            if self._is_member:
                self._is_member = False
                self._member.leave()
        if self._is_member != self.is_away:
            return
        self._is_member = not self.is_away
        if self.is_away:
            self._member.leave()
            return

        def assigned(places: list[TopicPartition]) -> None:
            self._begin(stop, handler, places)
            handler.assigned(self._assigned(places))

        def revoked(places: list[TopicPartition]) -> None:
            self._commit(wait=True)
            lost(places)

        def lost(places: list[TopicPartition]) -> None:
            handler.revoked(self._revoked(places))

        self._member.join([self._topic], Changes(assigned, revoked, lost))

    def _begin(self, stop: threading.Event, handler: Handler, places: list[TopicPartition]) -> None:
        """Begin where the group is, or earlier, where records were left that this member knows."""
        begun = []
        for place in self._committed(stop, places):
            offset, left = begins(place.offset, place.metadata, handler.knows)
            begun.append(TopicPartition(place.topic, place.partition, offset))
            with self._lock:
                self._offsets.begin(place.partition, left)
        self._member.begin(begun)

    def _committed(
        self, stop: threading.Event, places: list[TopicPartition]
    ) -> list[TopicPartition]:
        """What the group has committed, with its metadata; asked for until brokers answer."""
        while not stop.is_set():
            try:
                found = self._member.committed(places, _ANSWER_S)
            except KafkaException as error:
                wrong = error.args[0]
            else:
                wrong = next((place.error for place in found if place.error is not None), None)
                if wrong is None:
                    return found
            if wrong.fatal():
                break  # the next read says so, too
            self._member.look_at(wrong)
            stop.wait(_PAUSE_S)
        return []

    def _read(self, handler: Handler) -> None:
        messages: list[Any] = self._member.fetch(_MOST, _POLL_S)
        found = []
        for message in messages:
            if message.error() is not None:
                if self._member.look_at(message.error()):
                    return
                continue
            partition, offset = message.partition(), message.offset()
            selected = handler.select(message)
            is_open = selected is not None and not isinstance(selected, Left)
            with self._lock:
                self._offsets.read(partition, offset, is_open=is_open)
                if isinstance(selected, Left):
                    self._offsets.leave(partition, offset, selected.name)
            if is_open:
                found.append((partition, offset, selected))
        if found:
            handler.deliver(found)

    def _hold_back(self) -> None:
        """Pause reading while `is_full` is set."""
        if self.is_full == self._paused:
            return
        places = [TopicPartition(self._topic, partition) for partition in self._owned]
        (self._member.pause if self.is_full else self._member.resume)(places)
        self._paused = self.is_full

    def _commit(self, *, wait: bool) -> None:
        with self._lock:
            offsets = [
                TopicPartition(self._topic, partition, offset, self._offsets.note(partition))
                for partition, offset in self._offsets.uncommitted().items()
            ]
        if not offsets:
            return
        try:
            self._member.commit(offsets, wait=wait)
        except KafkaException as error:
            # Records without a committed offset are read again; handlers allow for that.
            log.warning("Offsets were not committed", error=error.args[0].str())

    def _assigned(self, places: list[TopicPartition]) -> set[int]:
        partitions = {place.partition for place in places}
        self._owned |= partitions
        self.has_joined = True
        # Partitions that were paused before still are, though `is_full` may have changed.
        self._paused = None
        return partitions

    def _revoked(self, places: list[TopicPartition]) -> set[int]:
        partitions = {place.partition for place in places}
        self._owned -= partitions
        with self._lock:
            for partition in partitions:
                self._offsets.forget(partition)
        self.has_joined = self._is_member
        return partitions
