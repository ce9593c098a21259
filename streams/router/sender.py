"""The router's producer: it keeps the order, and no record is lost unnoticed."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message

from streams.errors import RouterError
from streams.kafka import clients
from streams.kafka.dead_letters import DeadLetter
from streams.kafka.producers import idempotent_producer
from streams.router.batches import Encoded
from streams.settings import Settings
from topology import limits, topics

# The most that waits for acknowledgements, of all partitions together.
_IN_FLIGHT_KIB: Final = 64 * 1024
_IN_FLIGHT_RECORDS: Final = 100_000
# Records are gathered when they are read, so that batches needn't wait once more.
_LINGER_MS: Final = 0
_WAIT_S: Final = 0.1
# librdkafka's partition of a record whose key decides.
_BY_KEY: Final = -1
_Headers: TypeAlias = list[tuple[str, str | bytes | None]]


class Sender:
    """Writes command batches and dead letters.

    Every partition gets its records in the order in which they were sent, without a gap: a record
    that a broker refuses is fatal to the producer (`enable.gapless.guarantee`). No later record is
    written, and every later call raises. A broker that doesn't answer is waited for without end;
    the number of waiting records is bounded, so reading stops, too.

    Raises (all methods):
        RouterError: a record was refused.
    """

    def __init__(
        self, settings: Settings, logger: logging.Logger, while_waiting: Callable[[], None]
    ) -> None:
        """Connect; `while_waiting` is called ten times a second while brokers don't answer."""
        self._commands = settings.topic(topics.COMMANDS)
        self._dead_letters = settings.topic(topics.DEAD_LETTERS)
        self._while_waiting = while_waiting
        self._failure: KafkaError | None = None
        self._producer = idempotent_producer(
            # At a lower level each start would warn that `gapless` is experimental. `Figures` logs
            # that a broker is away.
            clients.librdkafka(settings, log_level=clients.CRITICAL, logger=logger),
            enable_gapless_guarantee=True,
            message_timeout_ms=0,
            message_max_bytes=limits.MESSAGE_BYTES,
            compression_type="lz4",
            linger_ms=_LINGER_MS,
            queue_buffering_max_kbytes=_IN_FLIGHT_KIB,
            queue_buffering_max_messages=_IN_FLIGHT_RECORDS,
            error_cb=self._on_error,
        )

    def send_batches(self, batches: Iterable[Encoded]) -> None:
        """Send command batches to their partitions."""
        topic = self._commands
        for partition, value in batches:
            self._send(topic, value, partition=partition)

    def send_dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Send dead letters; their keys choose the partitions."""
        for letter in letters:
            headers: _Headers = list(letter.headers)
            self._send(self._dead_letters, letter.value, key=letter.key, headers=headers)

    def serve(self) -> None:
        """Handle the acknowledgements that have come."""
        with self._refusals():
            self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the brokers have acknowledged every record."""
        while True:
            with self._refusals():
                waiting = self._producer.flush(_WAIT_S)
            if not waiting:
                return
            self._while_waiting()

    def close(self) -> None:
        """Drop the records that aren't acknowledged: nothing that depends on them is committed."""
        with suppress(RouterError), self._refusals():
            self._producer.purge()
            self._producer.poll(0)

    def _send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = _BY_KEY,
        headers: _Headers | None = None,
    ) -> None:
        while True:
            try:
                with self._refusals():
                    self._producer.produce(
                        topic, value, key, partition, self._on_delivery, headers=headers
                    )
            except BufferError:
                with self._refusals():
                    self._producer.poll(_WAIT_S)
                self._while_waiting()
            else:
                return

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise an error of the block, or one that a callback has noted."""
        try:
            yield
        except KafkaException as error:
            raise RouterError(_message(error.args[0])) from error
        if self._failure is not None:
            raise RouterError(_message(self._failure))

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _on_error(self, error: KafkaError) -> None:
        # librdkafka repeats other errors again and again until it has mended them.
        if error.fatal() and self._failure is None:
            self._failure = error


def _message(error: KafkaError) -> str:
    return (
        f"a record was not written: {error.str()}. Nothing that depends on it is committed; "
        "restart the router, and it is written again"
    )
