"""Producers: what all of them share, and a `Sender` that waits for every acknowledgement."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.errors import CountermandError, NotFoundError
from streams.kafka import clients
from streams.kafka.admin import admin_client, describe_topics, unreachable
from streams.settings import Settings

Headers = Sequence[tuple[str, bytes | str | None]]
# Java's and aiokafka's default, so that all producers give a key the same partition.
PARTITIONER: Final = "murmur2_random"
_DELIVERY_S: Final = 30.0
_SLICE_S: Final = 0.1


def idempotent_producer(client: Mapping[str, Any], **extra: object) -> Producer:
    """A producer that writes each record once and, per partition, in order.

    `client`: see `clients.librdkafka`; `extra`: more options, which win, see `clients.dotted`.
    """
    options = {"enable.idempotence": True, "partitioner": PARTITIONER}
    return Producer({**client, **options, **clients.dotted(extra)})


class Sender:
    """An idempotent producer; leaving its block waits for every acknowledgement.

    Raises:
        NotFoundError: a topic is missing: sending never creates one.
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: a broker refuses a record.
    """

    def __init__(self, settings: Settings, delivery_s: float = _DELIVERY_S) -> None:
        """Prepare a producer; it connects with the first record, and gives one up after so long."""
        self._settings = settings
        self._failure: CountermandError | None = None
        self._known: set[str] = set()
        self.acknowledged = 0
        self.last: Message | None = None
        self._producer = idempotent_producer(
            clients.librdkafka(settings, log_level=0),
            linger_ms=5,
            delivery_timeout_ms=int(delivery_s * 1000),
            # What is on its way is given up with its request.
            request_timeout_ms=int(delivery_s * 1000) - 500,
            compression_type="lz4",
        )

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Headers = ()
    ) -> None:
        """Hand over one record; the failure of an earlier record is raised here or at the end."""
        self._require(topic)
        while True:
            self._raise_failure()
            try:
                self._producer.produce(
                    topic, value, key, headers=list(headers), on_delivery=self._delivered
                )
            except BufferError:  # the queue is full: wait for acknowledgements
                self._producer.poll(_SLICE_S)
            except KafkaException as error:
                raise unreachable(error) from error
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Wait until the brokers have acknowledged every record."""
        while self._producer.flush(_SLICE_S):  # delivery.timeout.ms bounds it
            self._raise_failure()
        self._raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            self.flush()
        else:
            self._producer.purge()
            self._producer.flush(_SLICE_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged += 1
            self.last = message
        elif self._failure is None:
            self._failure = unreachable(KafkaException(error))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _require(self, topic: str) -> None:
        if topic in self._known:
            return
        if topic not in describe_topics(admin_client(self._settings), [topic]):
            raise NotFoundError(f"Topic {topic} is missing. Run: countermand topics create")
        self._known.add(topic)
