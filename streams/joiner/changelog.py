"""Restores a partition's rows from its changelog: step 2 of the durable order in `processor.py`."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streams.clock import Clock, now_ms
from streams.errors import DamagedStoreError
from streams.joiner.decide import derive
from streams.joiner.intake import Places
from streams.joiner.store import Memory, Store, wipe
from streams.kafka import codes
from streams.kafka.consumers import follower
from topology import codec, tables
from topology.tables import Checkpoint

# So few that the other partitions of the process get their turns in between.
_READ_AT_ONCE: Final = 2_000
_WAIT_S: Final = 0.5
_LOST: Final = (
    codes.OUT_OF_LOG,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    codes.UNKNOWN_TOPIC,
    codes.UNKNOWN_PARTITION,
)

Progress: TypeAlias = Callable[[int], None]
"""Is called with the number of records that are still to be restored."""


class Log(NamedTuple):
    """Where a partition's changelog is, and for how many ms tombstones are kept in it."""

    topic: str
    topic_id: bytes
    partition: int
    tombstones_ms: int


class Changelog:
    """The changelog of one partition."""

    def __init__(
        self,
        config: Mapping[str, Any],
        log: Log,
        turn: threading.Lock,
        places: Places,
        clock: Clock = now_ms,
    ) -> None:
        """Read `log` with a client of `config`; takes its `turn` to compute, not to wait."""
        self._config = config
        self._places = places
        self._topic, self._topic_id, self._partition, self._tombstones_ms = log
        self._turn = turn
        self._clock = clock

    def restore(
        self, path: Path, memory: Memory, barrier: int, progress: Progress, stop: Callable[[], bool]
    ) -> Store:
        """Restore the rows up to `barrier`, the offset of a record that this owner has committed.

        The rows under `path` are wiped first if they belong to another changelog, are damaged, or
        are so old that tombstones may be gone from the log, so that removed rows would come back.
        `stop` is asked between batches: if it answers True, the rows are incomplete.

        Raises:
            KafkaException: the changelog can't be read.
            StoreError: the disk refuses.
            UnreadableError: a record is no row.
        """
        store = self._fitting(path, memory, barrier)
        if store is None:
            wipe(path)
            store = Store(path, memory)
        try:
            self._read(store, barrier, progress, stop)
        except BaseException:
            store.close()
            raise
        return store

    def _fitting(self, path: Path, memory: Memory, barrier: int) -> Store | None:
        if not path.exists():
            return None
        try:
            store = Store(path, memory)
        except DamagedStoreError:
            return None
        try:
            checkpoint = store.checkpoint()
        except DamagedStoreError:
            checkpoint = None
        if checkpoint is not None and self._fits(checkpoint, barrier):
            return store
        store.close()
        return None

    def _fits(self, checkpoint: Checkpoint, barrier: int) -> bool:
        age = self._clock() - checkpoint.time
        same = checkpoint.topic_id == self._topic_id and checkpoint.offset <= barrier
        return same and age < self._tombstones_ms / 2

    def _read(
        self, store: Store, barrier: int, progress: Progress, stop: Callable[[], bool]
    ) -> None:
        checkpoint = store.checkpoint()
        position = checkpoint.offset if checkpoint is not None else 0
        consumer = follower(
            self._config,
            "countermand-restore",
            enable_partition_eof=False,
            auto_offset_reset="error",
            fetch_message_max_bytes=8 * 1024 * 1024,
            queued_max_messages_kbytes=32 * 1024,
            check_crcs=True,
        )
        try:
            low, _ = consumer.get_watermark_offsets(
                TopicPartition(self._topic, self._partition), timeout=30
            )
            consumer.assign([TopicPartition(self._topic, self._partition, max(position, low))])
            while position <= barrier and not stop():
                first = consumer.poll(_WAIT_S)
                if first is not None:
                    # Only what is there: `consume` would wait for as many as it may take.
                    messages = [first, *consumer.consume(_READ_AT_ONCE, 0)]
                    position = self._apply(store, messages)
                    progress(max(0, barrier + 1 - position))
        finally:
            consumer.close()

    def _apply(self, store: Store, messages: list[Message]) -> int:
        facts: dict[bytes, bytes | None] = {}
        position = 0
        with self._turn:
            for message in messages:
                error = message.error()
                if error is not None:
                    _tolerate(error)
                    continue
                offset = message.offset() or 0
                key, value = _row(message)
                if not self._places.skips(self._topic, offset):
                    if key[:1] != tables.EVENTS:  # these are decoded anyway
                        self._check(offset, key, value)
                    facts[key] = value
                position = offset + 1
            try:
                derived = derive.restored(store.get, facts)
            except codec.CodecError:
                for message in messages:
                    self._check(message.offset() or 0, *_row(message))
                raise
            batch = store.batch(facts, derived, self.checkpoint(position))
        store.write(batch)
        return position

    def _check(self, offset: int, key: bytes, value: bytes | None) -> None:
        try:
            codec.check_row(key, value)
        except codec.CodecError as error:
            raise self._places.unreadable(self._topic, offset, error) from error

    def checkpoint(self, offset: int) -> Checkpoint:
        """The checkpoint of rows that hold the changelog's records before `offset`."""
        return Checkpoint(self._topic_id, offset, self._clock())


def _row(message: Message) -> tuple[bytes, bytes | None]:
    key, value = message.key(), message.value()
    return key if isinstance(key, bytes) else b"", value if isinstance(value, bytes) else None


def _tolerate(error: KafkaError) -> None:
    """Ignore an error after which the client goes on by itself.

    Raises:
        KafkaException: the error is fatal, or records of the log are missing.
    """
    if error.fatal() or error.code() in _LOST:
        raise KafkaException(error)
