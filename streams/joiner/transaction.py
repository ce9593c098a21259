"""Writes a partition's rows, outputs and forwards to Kafka in one transaction."""

import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from streams.joiner.decide.view import Output
from streams.kafka.transactional import TransactionalProducer
from topology import codec
from topology.records import Forward

_FORWARD_BYTES: Final = 1024 * 1024


class Transactions(TransactionalProducer):
    """The transactions of one life of a partition; used by one thread."""

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Mapping[str, str],
        partition: int,
        turn: threading.Lock,
    ) -> None:
        """A producer of `config`; it holds `turn` to compute, not to wait.

        `topics` has full names. All records go to `partition`, except forwards.
        """
        super().__init__(config, "joiner")
        self._turn = turn
        self._topics = topics
        self._partition = partition
        self._state = topics["state"]
        self._last_offset = -1

    def commit(
        self,
        facts: dict[bytes, bytes | None],
        outputs: Iterable[Output] = (),
        forwards: Mapping[int, list[Forward]] | None = None,
    ) -> int:
        """Write everything in one transaction; the offset of its last record in `state`.

        `facts` are rows by key, None for a deleted row, with at least one; `forwards` are commands
        by target partition.

        Raises:
            AbortedError: nothing was written; the input is to be decided again.
            FencedError: another producer owns the partition, or it is unknown what was written.
            GaveUpError: the partition was stopped meanwhile.
        """
        self.transact(partial(self._produce, facts, outputs, forwards or {}))
        return self._last_offset

    def _produce(
        self,
        facts: dict[bytes, bytes | None],
        outputs: Iterable[Output],
        forwards: Mapping[int, list[Forward]],
    ) -> None:
        produce, partition, topics = self.producer.produce, self._partition, self._topics
        with self._turn:
            for output in outputs:
                topic = topics[output.topic]
                produce(topic, output.value, output.key, partition, headers=output.headers)
            for target, commands in forwards.items():
                for value in encoded_forwards(commands):
                    produce(topics["forwards"], value, None, target)
            *rows, (last, last_row) = facts.items()
            for key, row in rows:
                produce(self._state, row, key, partition)
            produce(self._state, last_row, last, partition, on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            self._last_offset = offset


def encoded_forwards(commands: list[Forward]) -> list[bytes]:
    """The values of records with these commands: as few records as their size allows."""
    data = codec.FORWARDS.encode(tuple(commands))
    if len(data) <= _FORWARD_BYTES or len(commands) == 1:
        return [data]
    half = len(commands) // 2
    return encoded_forwards(commands[:half]) + encoded_forwards(commands[half:])
