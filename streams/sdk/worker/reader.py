"""Reads a topic as a member of a consumer group, in a thread; commits offsets of done records."""

import logging
import threading
import time
from typing import Any, Final, Protocol

from confluent_kafka import KafkaException, Message, TopicPartition

from streams import logs
from streams.kafka.member import Changes, Member
from streams.metrics import Metrics
from streams.sdk.worker.offsets import Offsets
from streams.settings import Settings

_MOST: Final = 500
_POLL_S: Final = 0.1
_COMMIT_EVERY_S: Final = 1.0
log = logs.get(__name__)


class Handler(Protocol):
    """Handles the records that a reader reads; the reader's thread makes all calls."""

    def select(self, message: Message) -> object | None:
        """The work that a record asks for, or None; with work, the record is open until done."""

    def deliver(self, found: list[tuple[int, int, object]]) -> None:
        """Take the work of records, each as partition, offset and work."""

    def assigned(self, partitions: set[int]) -> None:
        """The reader has these partitions now."""

    def revoked(self, partitions: set[int]) -> None:
        """The reader no longer has these partitions."""


class GroupReader:
    """One member of a consumer group; a thread calls `run`, until `stop` is set."""

    def __init__(self, settings: Settings, metrics: Metrics, group: str, topic: str) -> None:
        """Connect; `run` joins the group."""
        self.is_full = False
        self.has_joined = False
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

    def run(self, stop: threading.Event, handler: Handler) -> None:
        """Read records for `handler` until `stop` is set, then leave the group."""

        def assigned(places: list[TopicPartition]) -> None:
            handler.assigned(self._assigned(places))

        def revoked(places: list[TopicPartition]) -> None:
            self._commit(wait=True)
            lost(places)

        def lost(places: list[TopicPartition]) -> None:
            handler.revoked(self._revoked(places))

        self._member.join([self._topic], Changes(assigned, revoked, lost))
        committed_at = time.monotonic()
        try:
            while not stop.is_set():
                self._hold_back()
                self._read(handler)
                if time.monotonic() - committed_at > _COMMIT_EVERY_S:
                    committed_at = time.monotonic()
                    self._commit(wait=False)
        finally:
            self._commit(wait=True)
            self._member.close()

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
            with self._lock:
                self._offsets.read(partition, offset, is_open=selected is not None)
            if selected is not None:
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
            moved = self._offsets.uncommitted()
        offsets = [TopicPartition(self._topic, *place) for place in moved.items()]
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
        return partitions
