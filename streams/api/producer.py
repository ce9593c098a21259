"""Produces to Kafka and waits for acknowledgements, for some seconds only."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from streams.errors import KafkaRefusedError, UnreachableError
from streams.kafka import clients, codes
from streams.kafka.admin import unreachable
from streams.kafka.producers import idempotent_producer
from streams.settings import Settings
from topology import limits

# A record is given up after this; librdkafka looks once a second which ones are due.
DELIVERY_S: Final = 4.0
_GRACE_S: Final = 4.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to produce."""

    topic: str
    key: bytes
    value: bytes


class AckedProducer:
    """An idempotent producer for many threads: `send` returns when all of it is acknowledged.

    A record that isn't acknowledged in time is dropped here, so it isn't sent later. If it was sent
    already it may still arrive, which the error says; the caller has fixed its id before, so that
    a repetition is the same request.
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = idempotent_producer(
            clients.librdkafka(settings, log_level=0),
            linger_ms=0,
            compression_type="lz4",
            message_max_bytes=limits.MESSAGE_BYTES,
            delivery_timeout_ms=int(DELIVERY_S * 1000),
            request_timeout_ms=int(DELIVERY_S * 1000) - 500,
        )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="producer", daemon=True)
        self._thread.start()

    def send(self, records: Sequence[Outgoing]) -> list[int]:
        """Produce records; their timestamps in the topic.

        Raises:
            UnreachableError: not all were acknowledged; some may have been written.
            KafkaRefusedError: the brokers refuse a record.
        """
        waiting = [self._produce(record) for record in records]
        wait_for(waiting, timeout=DELIVERY_S + _GRACE_S)
        if not all(future.done() for future in waiting):
            self._producer.purge()
            wait_for(waiting, timeout=_GRACE_S)
        errors = [found for future in waiting if (found := _error(future)) is not None]
        if errors:
            raise next(
                (error for error in errors if isinstance(error, KafkaRefusedError)), errors[0]
            )
        return [future.result() for future in waiting]

    def close(self) -> None:
        """Wait some seconds for acknowledgements, then drop what is left and end the thread."""
        self._producer.flush(_GRACE_S)
        self._producer.purge()
        self._producer.flush(_POLL_S)
        self._closed.set()
        self._thread.join()

    def _produce(self, record: Outgoing) -> "Future[int]":
        future: Future[int] = Future()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                future.set_result(message.timestamp()[1])
            else:
                future.set_exception(_refusal(error))

        try:
            self._producer.produce(record.topic, record.value, record.key, on_delivery=delivered)
        except BufferError:
            future.set_exception(UnreachableError("Too much waits for Kafka: nothing was written"))
        except KafkaException as error:
            future.set_exception(unreachable(error))
        return future

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_S)


def _error(future: "Future[int]") -> BaseException | None:
    if not future.done():
        return UnreachableError("Kafka doesn't acknowledge")
    return future.exception()


def _refusal(error: KafkaError) -> UnreachableError | KafkaRefusedError:
    if error.code() in codes.UNACKNOWLEDGED:
        return UnreachableError(f"Kafka didn't acknowledge within {DELIVERY_S:g} s")
    return unreachable(KafkaException(error))
