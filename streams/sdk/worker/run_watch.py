"""Follows all partitions of `runs`, to see what becomes of the runs that this worker has claimed.

The consumer joins no group: a run stays with its worker when another worker gets its partition.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import logs
from streams.kafka import clients
from streams.kafka.admin import REACH_TIMEOUT_S, unreachable
from streams.kafka.consumers import bounds, follower
from streams.settings import Settings
from topology.topics import RUNS

_MOST: Final = 1_000
_POLL_S: Final = 0.1
log = logs.get(__name__)


class RunWatch:
    """A consumer of every partition of `runs`, from the ends at the time when it was made."""

    def __init__(self, settings: Settings) -> None:
        """Settle where reading begins: what is written later is seen.

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
        try:
            found = self._consumer.list_topics(topic, timeout=REACH_TIMEOUT_S).topics[topic]
            places = [TopicPartition(topic, partition) for partition in sorted(found.partitions)]
        except KafkaException as error:
            raise unreachable(error) from error
        for place in places:
            _, place.offset = bounds(self._consumer, place)
        self._consumer.assign(places)

    def run(
        self,
        stop: threading.Event,
        wanted: Callable[[Any], bool],
        deliver: Callable[[list[bytes]], None],
    ) -> None:
        """Deliver the values of the records that are `wanted`, until `stop` is set."""
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
                    elif message.value() is not None and wanted(message):
                        found.append(message.value())
                if found:
                    deliver(found)
        finally:
            self._consumer.close()

    def _report(self, error: KafkaError) -> None:
        if self._limiter.admit(error.code()) is not None:
            log.warning("Kafka reports trouble with runs", error=error.str())
