"""Reads ranges of a topic's partitions: committed records alone, and for some time only."""

import math
from collections.abc import Container, Iterator, Mapping
from types import TracebackType
from typing import Final, Self, TypeAlias

from confluent_kafka import KafkaException, Message, TopicPartition

from streams.errors import UnreachableError
from streams.kafka import clients
from streams.kafka.admin import REACH_TIMEOUT_S, unreachable
from streams.kafka.consumers import bounds, follower, is_end, is_record, partitions_of
from streams.kafka.deadline import Deadline
from streams.settings import Settings

# The first offset that is meant, and the one behind the last.
Range: TypeAlias = tuple[int, int]
Ranges: TypeAlias = dict[int, Range]

_POLL_S: Final = 0.2
# What the client fetches ahead; one record more fits.
_FETCHED_KIB: Final = 8 * 1024


class RangeReader:
    """A consumer of one topic; with `within_s`, all that it does takes no longer.

    Attributes:
        left: What the last `read` hasn't read yet, by partition.
    """

    def __init__(self, settings: Settings, topic: str, within_s: float = math.inf) -> None:
        """Prepare a consumer; it connects when it is asked something."""
        self.left: Ranges = {}
        self._paused: list[TopicPartition] = []
        self._topic = topic
        self._within_s = within_s
        self._deadline = Deadline(within_s)
        self._consumer = follower(
            clients.librdkafka(settings, log_level=0),
            f"{settings.application_id}-cli",
            # At the end of a partition the brokers would wait for more.
            fetch_wait_max_ms=10,
            fetch_queue_backoff_ms=10,
            fetch_max_bytes=_FETCHED_KIB * 1024,
            queued_max_messages_kbytes=_FETCHED_KIB,
        )

    def bounds(self, only: Container[int] | None = None) -> Ranges:
        """What each partition holds, or those of `only` that are there.

        Raises:
            NotFoundError: the topic is missing.
            UnreachableError: the brokers don't answer.
        """
        found = partitions_of(self._consumer, self._topic, self._deadline.seconds(REACH_TIMEOUT_S))
        asked = [one for one in found if only is None or one in only]
        return {
            one: bounds(self._consumer, self._place(one), self._deadline.seconds()) for one in asked
        }

    def since(self, ms: int, ranges: Ranges) -> Ranges:
        """The ranges without what lies before each partition's first record of this time or later.

        Raises:
            UnreachableError: the brokers don't answer.
        """
        asked = [self._place(partition, ms) for partition in ranges]
        try:
            found = self._consumer.offsets_for_times(asked, timeout=self._deadline.seconds())
        except KafkaException as error:
            raise unreachable(error) from error
        begins = {place.partition: place.offset for place in found}
        # A partition without such a record has no offset for it.
        return {
            partition: (max(begin, begins[partition]) if begins[partition] >= 0 else end, end)
            for partition, (begin, end) in ranges.items()
        }

    def read(self, ranges: Mapping[int, Range]) -> Iterator[Message]:
        """The records of ranges; ends early, with some `left`, when the time is over.

        Raises:
            UnreachableError: the brokers don't answer.
        """
        # Assigned again, a partition would stay paused.
        self._consumer.resume(self._paused)
        self._paused = []
        self.left = {one: (begin, end) for one, (begin, end) in ranges.items() if begin < end}
        self._consumer.assign([self._place(one, begin) for one, (begin, _) in self.left.items()])
        while self.left:
            wait_s = min(_POLL_S, self._deadline.left_s)
            if wait_s <= 0:
                return
            message = self._consumer.poll(wait_s)
            if message is None:
                continue
            partition = message.partition() or 0
            if is_record(message):
                if self._passes(partition, message.offset() or 0):
                    yield message
            elif is_end(message):
                self._finish(partition)

    def too_slow(self) -> UnreachableError:
        """The error of who needed more than was read in time."""
        return UnreachableError(
            f"Kafka doesn't send {self._topic} within {self._within_s:.0f} s: try again"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def _passes(self, partition: int, offset: int) -> bool:
        """Book a record as read; whether it lies within its range."""
        if partition not in self.left:
            return False
        _, end = self.left[partition]
        # The last offsets of a range may hold no record: then it ends with the first one behind.
        if offset + 1 >= end:
            self._finish(partition)
        else:
            self.left[partition] = (offset + 1, end)
        return offset < end

    def _finish(self, partition: int) -> None:
        if self.left.pop(partition, None) is not None and self.left:
            self._paused.append(self._place(partition))
            self._consumer.pause(self._paused[-1:])

    def _place(self, partition: int, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)
