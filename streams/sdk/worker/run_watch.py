"""Follows all partitions of `runs`, to see what becomes of the runs that this worker has claimed.

The consumer joins no group: a run stays with its worker when another worker gets its partition.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, TopicPartition

from streams import logs
from streams.kafka import clients
from streams.kafka.consumers import bounds, follower
from streams.settings import Settings
from topology.records import RunRecord
from topology.topics import RUNS

_MOST: Final = 1_000
_POLL_S: Final = 0.1
log = logs.get(__name__)


class RunWatch:
    """A consumer of every partition of `runs`, from the ends at the time when it was made."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        """Settle where reading begins: what is written later is seen.

        `partitions` is the number that all topics share.

        Raises:
            UnreachableError: The brokers don't answer.
        """
        self._limiter = logs.Limiter()
        logger = logging.getLogger(f"{__name__}.kafka")
        self._consumer = follower(
            clients.librdkafka(settings, log_level=clients.CRITICAL, logger=logger),
            f"{settings.application_id}-worker",
            enable_partition_eof=False,
            fetch_queue_backoff_ms=10,
        )
        topic = settings.topic(RUNS)
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        for place in places:
            _, place.offset = bounds(self._consumer, place)
        self._consumer.assign(places)

    def run(
        self,
        stop: threading.Event,
        select: Callable[[Any], RunRecord | None],
        deliver: Callable[[list[RunRecord]], None],
    ) -> None:
        """Deliver what `select` makes of records, but for None, until `stop` is set."""
        try:
            while not stop.is_set():
                first = self._consumer.poll(_POLL_S)
                if first is None:
                    continue
                messages: list[Any] = [first, *self._consumer.consume(_MOST - 1, 0)]
                found = []
                for message in messages:
                    if message.error() is not None:
                        self._report(message.error())
                    elif (record := select(message)) is not None:
                        found.append(record)
                if found:
                    deliver(found)
        finally:
            self._consumer.close()

    def _report(self, error: KafkaError) -> None:
        if self._limiter.admit(error.code()) is not None:
            log.warning("Kafka reports trouble with runs", error=error.str())
