"""Reads the three topics from where the database is, as one of the read model's consumer group.

The group only shares the partitions out. It never stores an offset: those are in the database.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streams import logs
from streams.errors import KafkaRefusedError
from streams.kafka import clients
from streams.read_model.batch import Place
from streams.settings import Settings

_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001  # librdkafka's public error codes
_FATAL: Final = KafkaError._FATAL  # noqa: SLF001  # as a message; its own `fatal` is false
_FETCHED_KIB: Final = 64 * 1024
# What comes within this time of a first record is written together with it.
_GATHER_S: Final = 0.03
# Critical: a broker that is away would be reported twenty times a second.
_LOG_LEVEL: Final = 2
_log = logs.get(__name__)


@dataclass
class Intake:
    """What one look at the consumer gave.

    Attributes:
        messages: Records, in order per partition.
        ends: Where partitions end: all before was read, markers of transactions too.
    """

    messages: list[Any] = field(default_factory=list)
    ends: dict[Place, int] = field(default_factory=dict)


class Source:
    """A consumer that reads nothing before `start` has said from where.

    Attributes:
        places: The partitions that are ours, if any; None while the group hasn't said so.
        is_started: Whether all of them are read; false again after each change of them.
    """

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        """Connect; `join` or `start` comes next."""
        self.places: frozenset[Place] | None = None
        self.is_started = False
        self._limiter = logs.Limiter()
        instance = settings.group_instance_id
        self._consumer = Consumer(
            clients.librdkafka(
                settings,
                group_id=settings.read_model_group,
                session_timeout_ms=int(settings.session_timeout.total_seconds() * 1_000),
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                # Where the log was cut off behind us: its first record is the next one.
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                enable_partition_eof=True,
                allow_auto_create_topics=False,
                queued_max_messages_kbytes=_FETCHED_KIB,
                # The default waits a second with a full queue, and then runs dry.
                fetch_queue_backoff_ms=10,
                log_level=_LOG_LEVEL,
                logger=logger,
                **({} if instance is None else {"group_instance_id": instance}),
            )
        )

    def join(self, topics: Iterable[str]) -> None:
        """Ask the group for a share of these topics' partitions."""
        self._consumer.subscribe(
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def start(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions, each from its offset."""
        self.places = frozenset(offsets)
        self._consumer.assign(
            [
                TopicPartition(*place, offset or OFFSET_BEGINNING)
                for place, offset in offsets.items()
            ]
        )
        self.is_started = True

    def halt(self) -> None:
        """Read nothing until `start`; the partitions stay ours."""
        self._consumer.assign([])
        self.is_started = False

    def read(self, most: int, timeout_s: float) -> Intake:
        """Whatever comes within some ms of a first record; at most so many.

        What was read of partitions that went away meanwhile is in it too: it can't be written,
        since their positions move.
        """
        intake = Intake()
        first = self._consumer.poll(timeout_s)
        if first is None:
            return intake
        add = intake.messages.append
        for message in (first, *self._consumer.consume(most - 1, _GATHER_S)):
            if message.error() is None:
                add(message)
            else:
                self._take_error(message, intake)
        return intake

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        self._consumer.close()

    def _take_error(self, message: Any, intake: Intake) -> None:  # noqa: ANN401 (its stub is all None)
        error: KafkaError = message.error()
        if error.code() == _END:
            intake.ends[message.topic(), message.partition()] = message.offset()
        elif error.fatal() or error.code() == _FATAL:
            raise KafkaRefusedError(f"The topics can't be read any more: {error.str()}")
        elif self._limiter.admit(error.code()) is not None:
            # librdkafka mends by itself what can be mended.
            _log.warning("Kafka reports trouble with the topics", error=error.str())

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.places = frozenset((one.topic, one.partition) for one in partitions)
        self.halt()
        _log.info("Partitions were assigned", number=len(partitions))

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        # The binding gives them up when we return.
        self.places = None
        self.is_started = False
