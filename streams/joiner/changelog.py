"""Steps 1 and 2 of the durable order, the reading part: a partition's rows out of its changelog."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streams.clock import Clock, now_ms
from streams.errors import DamagedStoreError
from streams.joiner.decide import derive
from streams.joiner.store import Memory, Store, wipe
from streams.kafka import codes
from streams.kafka.consumers import follower
from topology.tables import Checkpoint

# Few enough that partitions at work in the same process get their turns.
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
"""Told how many records are still to restore."""


class Log(NamedTuple):
    """Where a partition's changelog lies, and how long tombstones stay in it."""

    topic: str
    topic_id: bytes
    partition: int
    tombstones_ms: int


class Changelog:
    """The changelog of one partition."""

    def __init__(
        self, config: Mapping[str, Any], log: Log, turn: threading.Lock, clock: Clock = now_ms
    ) -> None:
        """Read `log` with a client of `config`; takes its `turn` to compute, not to wait."""
        self._config = config
        self._topic, self._topic_id, self._partition, self._tombstones_ms = log
        self._turn = turn
        self._clock = clock

    def restore(
        self, path: Path, memory: Memory, barrier: int, progress: Progress, stop: Callable[[], bool]
    ) -> Store:
        """The rows as of `barrier`: the offset of a record committed after everything that counts.

        A disk that doesn't fit the log, is too old (the log's tombstones may be gone, so its rows
        would rise again), or is damaged, is wiped first.
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
        for message in messages:
            error = message.error()
            if error is not None:
                _tolerate(error)
                continue
            key = message.key()
            if isinstance(key, bytes):
                value = message.value()
                facts[key] = value if isinstance(value, bytes) else None
            position = (message.offset() or 0) + 1
        with self._turn:
            derived = derive.restored(store.get, facts)
            batch = store.batch(facts, derived, self.checkpoint(position))
        store.write(batch)
        return position

    def checkpoint(self, offset: int) -> Checkpoint:
        """What a disk notes beside rows that follow the changelog up to `offset` (exclusive)."""
        return Checkpoint(self._topic_id, offset, self._clock())


def _tolerate(error: KafkaError) -> None:
    """Broker trouble passes: the client goes on by itself.

    A log that isn't there as expected doesn't.
    """
    if error.fatal() or error.code() in _LOST:
        raise KafkaException(error)
