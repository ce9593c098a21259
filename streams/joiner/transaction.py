"""One partition's transactions: rows, outputs and forwards become visible together or not."""

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.crash import crash_at
from streams.errors import AbortedError, FencedError, GaveUpError
from streams.joiner.view import Output
from topology import codec, limits
from topology.records import Forward

_FORWARD_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = limits.TRANSACTION_TIMEOUT_MS / 1000
# How long one call may wait for the brokers before it looks whether to go on.
_PATIENCE_S: Final = 2.0


def producer_config(transactional_id: str) -> dict[str, Any]:
    """What makes the producer of a partition transactional, fast and bounded."""
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": limits.TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": limits.TRANSACTION_TIMEOUT_MS,
        "message.max.bytes": limits.MESSAGE_BYTES,
        "compression.type": "lz4",
        # A flush ends it: until then batches stay whole, and the client's thread asleep. It would
        # spin through the last ms of every shorter one.
        "linger.ms": 1_000,
        "batch.num.messages": limits.TRANSACTION_RECORDS,
        "batch.size": 1024 * 1024,
        # Above the most that one transaction holds: a full queue would abort it for nothing.
        "queue.buffering.max.messages": 4 * limits.TRANSACTION_RECORDS,
        "queue.buffering.max.kbytes": 128 * 1024,
    }


class Transactions:
    """The transactions of one partition; used by one thread.

    Every error that leaves a transaction in doubt ends in one of two: `AbortedError`, and the same
    input is decided again; `FencedError`, and the partition starts again from its first step.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Mapping[str, str],
        partition: int,
        turn: threading.Lock,
    ) -> None:
        """A producer of `config`; it takes its `turn` to compute, not to wait.

        `topics` gives full names, all records go to `partition` (forwards excepted).
        """
        self.leaving = threading.Event()
        self._turn = turn
        self._producer = Producer(dict(config))
        self._topics = topics
        self._partition = partition
        self._state = topics["state"]
        self._last_offset = -1

    def begin_life(self) -> None:
        """Fence every earlier producer of this partition.

        An earlier commit has finished when this returns.
        """
        self._settle(self._producer.init_transactions)

    def commit(
        self,
        facts: dict[bytes, bytes | None],
        outputs: Iterable[Output] = (),
        forwards: Mapping[int, list[Forward]] | None = None,
    ) -> int:
        """Write everything in one transaction; the offset of its last record in `state`.

        The last of `facts` must be the row that every transaction writes, so that it exists.
        """
        try:
            self._producer.begin_transaction()
            with self._turn:
                self._produce(facts, outputs, forwards or {})
            crash_at("joiner_after_produce")
            self._flush()
            crash_at("joiner_before_commit")
            self._settle(self._producer.commit_transaction)
        except SystemError as error:
            # The client raised a fatal error and called `_delivered` all the same.
            if not isinstance(error.__cause__, KafkaException):
                raise
            self._give_up(error.__cause__)
        except (KafkaException, BufferError) as error:
            self._give_up(error)
        crash_at("joiner_after_commit")
        return self._last_offset

    def close(self) -> None:
        """Forget what was not committed; the next life of the partition fences it anyway."""
        with suppress(KafkaException):  # a fenced producer says so once more
            self._producer.purge()
            self._producer.flush(0)

    def _produce(
        self,
        facts: dict[bytes, bytes | None],
        outputs: Iterable[Output],
        forwards: Mapping[int, list[Forward]],
    ) -> None:
        produce, partition, topics = self._producer.produce, self._partition, self._topics
        for output in outputs:
            produce(
                topics[output.topic], output.value, output.key, partition, headers=output.headers
            )
        for target, commands in forwards.items():
            for value in encoded_forwards(commands):
                produce(topics["forwards"], value, None, target)
        *rows, (last, last_row) = facts.items()
        for key, row in rows:
            produce(self._state, row, key, partition)
        produce(self._state, last_row, last, partition, on_delivery=self._delivered)

    def _flush(self) -> None:
        """Serve `_delivered` until all is written; what wasn't, the commit reports."""
        end = monotonic() + _TIMEOUT_S
        while self._producer.flush(_PATIENCE_S) and monotonic() < end:
            self._check_leaving()

    def _settle(self, call: Callable[[float], None]) -> None:
        """Repeat a call that librdkafka says may be repeated, until it says something else."""
        while True:
            try:
                call(_PATIENCE_S)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
            else:
                return
            self._check_leaving()

    def _check_leaving(self) -> None:
        if self.leaving.is_set():
            raise GaveUpError("stopped while the brokers didn't answer")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            self._last_offset = offset

    def _give_up(self, error: KafkaException | BufferError) -> None:
        cause = error.args[0] if isinstance(error, KafkaException) else None
        if cause is not None and cause.fatal():
            raise FencedError(str(cause)) from error
        try:
            self._settle(self._producer.abort_transaction)
        except KafkaException as failed:
            raise FencedError(f"{error}, and the abort failed: {failed}") from failed
        raise AbortedError(str(error)) from error


def encoded_forwards(commands: list[Forward]) -> list[bytes]:
    """Records for one partition's `forwards`, as few as their size allows."""
    data = codec.FORWARDS.encode(tuple(commands))
    if len(data) <= _FORWARD_BYTES or len(commands) == 1:
        return [data]
    half = len(commands) // 2
    return encoded_forwards(commands[:half]) + encoded_forwards(commands[half:])
