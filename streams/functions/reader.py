"""Reads the topic `functions` into a registry, and knows how fresh the registry is."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from streams import logs
from streams.errors import RegistryError, TopicsError, UnreachableError
from streams.functions.registry import Registry
from streams.kafka import codes
from streams.kafka.consumers import follower
from topology.codec import UnknownLevelError

LOAD_TIMEOUT_S: Final = 30.0
# A version routes events received 2 s after its append or later. So a registry of this age lacks no
# version that routes events received now, with half a second left for clocks that differ.
FRESH_FOR_S: Final = 1.5

_ASK_EVERY_S: Final = 0.2
_ASK_TIMEOUT_S: Final = 5.0
# A topic that was only just made may not be known to every broker yet.
_JUST_MADE_S: Final = 2.0
_RECORDS: Final = 1_000
_ABSENT: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    codes.UNKNOWN_TOPIC,
    codes.UNKNOWN_PARTITION,
)

log = logs.get(__name__)


class RegistryReader:
    """Keeps a registry up to date with its topic; the owner calls `poll` several times a second.

    Not for several threads at once. The reader asks the topic's leader where the topic ends. Once
    it has read up to the answer, all that was appended before it asked is applied: `fresh_at`.

    Attributes:
        registry: The functions that were read.
        fresh_at: A time in monotonic seconds; all that was appended before then is applied.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to read `topic` (a full name); `config`: librdkafka's connection settings."""
        self.registry = Registry()
        self.fresh_at = float("-inf")
        self._topic = topic
        self._monotonic = monotonic
        self._position = 0
        self._asked_at = float("-inf")
        self._asked_position = 0
        self._answer: Future[ListOffsetsResultInfo] | None = None
        self._end: int | None = None
        self._last_error: KafkaError | None = None
        self._admin = AdminClient(dict(config))
        # Assigned by hand, so the group is never joined and nothing is committed.
        self._consumer = follower(
            config, "countermand-functions", auto_offset_reset="error", fetch_wait_max_ms=100
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def fresh(self) -> bool:
        """Whether the registry may route events received now."""
        return self._monotonic() - self.fresh_at < FRESH_FOR_S

    def load(self, timeout_s: float = LOAD_TIMEOUT_S) -> Registry:
        """Read up to the present end of the topic.

        Raises:
            TopicsError: There is no such topic.
            UnreachableError: Kafka didn't answer in time.
            RegistryError: The topic was truncated or recreated since it was last read, or has a
                function of a later release.
        """
        begun = self._monotonic()
        self._check_topic(timeout_s)
        self._answer, self._end, self._asked_at = None, None, float("-inf")
        while self.fresh_at < begun:
            if self._monotonic() - begun > timeout_s:
                raise self._unreachable(timeout_s)
            self.poll(0.05)
        return self.registry

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Apply new records, after waiting for some at most so long; whether there were any.

        Raises:
            TopicsError: There is no such topic.
            RegistryError: The topic was truncated or recreated since it was last read, or has a
                function of a later release.
        """
        self._ask_for_end()
        messages = self._consumer.consume(_RECORDS, timeout_s)
        changed = [self._take(message) for message in messages]
        self._check_end()
        return any(changed)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _take(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            offset = message.offset()
            assert offset is not None
            self._apply(offset, message)
            self._position = offset + 1
            return True
        if error.code() == codes.END:
            # Compaction may remove the last records, so only this shows that the end is reached.
            self._position = max(self._position, message.offset() or 0)
        elif error.code() != codes.NO_GROUP_RIGHT:
            self._refuse(error)
        return False

    def _apply(self, offset: int, message: Message) -> None:
        try:
            self.registry.apply(offset, message.timestamp()[1], message.key(), message.value())
        except UnknownLevelError as error:
            raise RegistryError(f"{self._topic}, offset {offset}: {error}") from None

    def _ask_for_end(self) -> None:
        now = self._monotonic()
        if self._answer is None and self._end is None and now - self._asked_at >= _ASK_EVERY_S:
            partition = TopicPartition(self._topic, 0)
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the stubs' omission
            futures = self._admin.list_offsets({partition: latest}, request_timeout=_ASK_TIMEOUT_S)
            self._answer, self._asked_at = futures[partition], now
            self._asked_position = self._position

    def _check_end(self) -> None:
        if self._answer is not None and self._answer.done():
            answer, self._answer = self._answer, None
            try:
                end = answer.result().offset
                # Negative if the connection broke: this is no answer, though no error either.
                self._end = end if end >= 0 else None
            except KafkaException as error:
                self._refuse(error.args[0])
        if self._end is None:
            return
        if self._position >= self._end:
            # Only what was read before the question can prove that the topic is shorter now.
            if self._asked_position > self._end:
                self._refuse_shorter(self._end)
            self.fresh_at = self._asked_at
            self._end = self._last_error = None

    def _check_topic(self, timeout_s: float) -> None:
        """Refuse a missing topic at once: a consumer reports it only after 30 s."""
        begun = self._monotonic()
        while True:
            try:
                metadata = self._admin.list_topics(self._topic, timeout_s).topics[self._topic]
            except KafkaException as error:
                self._last_error = error.args[0]
                raise self._unreachable(timeout_s) from error
            if metadata.error is None:
                return
            if self._monotonic() - begun > _JUST_MADE_S:
                self._refuse(metadata.error)
            self.poll(0.05)

    def _unreachable(self, timeout_s: float) -> UnreachableError:
        reason = "" if self._last_error is None else f": {self._last_error.str()}"
        return UnreachableError(
            f"{self._topic} was not read to its end within {timeout_s:g} s{reason}. "
            "Is Kafka up? COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS says where it is"
        )

    def _refuse(self, error: KafkaError) -> None:
        repeated = self._last_error is not None and self._last_error.code() == error.code()
        self._last_error = error
        if error.code() in _ABSENT:
            raise TopicsError(
                f"the topic {self._topic} is missing: run `countermand topics create`"
            )
        if error.code() == codes.OUT_OF_LOG or error.fatal():
            raise RegistryError(f"{self._topic} can't be read on: {error.str()}. Restart")
        if not repeated:
            log.warning("Functions can't be read now", topic=self._topic, error=error.str())

    def _refuse_shorter(self, end: int) -> None:
        raise RegistryError(
            f"{self._topic} ends at {end}, but was read to {self._asked_position} before: it was "
            "truncated or made anew. Restart, so that it is read from its beginning"
        )
