"""Finds runs that have stopped, by reading `runs` from the times of their cancels on."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams import logs
from streams.clock import now_ms
from streams.kafka import clients, codes
from streams.kafka.consumers import follower
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.records import has_stopped
from streams.settings import Settings
from topology import keys, limits
from topology.topics import RUNS

# How far the clocks of brokers and joiners may differ.
_CLOCKS_MS: Final = limits.MINUTE_MS
# A run's tombstone stays for a day; two days leave a margin.
_TOMBSTONES_MS: Final = 2 * limits.DAY_MS
_POLL_S: Final = 0.2
_TIMEOUT_S: Final = 10.0
# Brokers that send nothing for so long are away.
_SILENCE_S: Final = 60.0
log = logs.get(__name__)


class StoppedRuns:
    """Reads `runs` for stops that this process didn't see; one look at a time, in any thread."""

    def __init__(  # its surroundings
        self,
        settings: Settings,
        partitions: int,
        ignored: Ignored,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`partitions` is the number that all topics share; once `stop` is set, looks end."""
        self._settings = settings
        self._topic = settings.topic(RUNS)
        self._partitions = partitions
        self._ignored = ignored
        self._stop = stop
        self._monotonic = monotonic

    def look_for(self, asked: Mapping[str, int], found: Callable[[str], None]) -> bool:
        """Call `found` for each run that has stopped; whether `runs` was read to its end.

        `asked` has the times of cancels (ms since 1970), by run id. Compaction keeps a run's last
        record, so old stops are found too. If a run was cancelled over two days ago and has no
        record, even its tombstone is gone: the run has stopped.
        """
        client = clients.librdkafka(self._settings, log_level=0)
        consumer = follower(client, f"{self._settings.application_id}-worker")
        try:
            return self._look(consumer, asked, found)
        except KafkaException as error:
            log.warning("Runs can't be read now: looked for again", error=error.args[0].str())
            return False
        finally:
            consumer.close()

    def _look(
        self, consumer: Consumer, asked: Mapping[str, int], found: Callable[[str], None]
    ) -> bool:
        homes = {
            run_id: keys.partition_of_run(keys.run_id_bytes(run_id), self._partitions)
            for run_id in asked
        }
        unread = set(homes.values())
        consumer.assign(self._starts(consumer, homes, asked))
        seen = set()
        for message in self._records(consumer, unread):
            key, value = message.key(), message.value()
            run_id = key.decode(errors="replace") if isinstance(key, bytes) else ""
            if run_id in asked:
                seen.add(run_id)
                if self._ignored.unless_read(message, partial(has_stopped, key, value)):
                    found(run_id)
        if unread:
            return False
        over_before = now_ms() - _TOMBSTONES_MS
        for run_id in asked.keys() - seen:
            if asked[run_id] < over_before:
                found(run_id)
        return True

    def _starts(
        self, consumer: Consumer, homes: Mapping[str, int], asked: Mapping[str, int]
    ) -> list[TopicPartition]:
        """The place of each home's first record since its earliest cancel."""
        earliest: dict[int, int] = {}
        for run_id, home in homes.items():
            since = max(0, asked[run_id] - _CLOCKS_MS)
            earliest[home] = min(since, earliest.get(home, since))
        wanted = [TopicPartition(self._topic, home, since) for home, since in earliest.items()]
        starts = consumer.offsets_for_times(wanted, timeout=_TIMEOUT_S)
        for place in starts:
            if place.error is not None:
                raise KafkaException(place.error)
        return starts

    def _records(self, consumer: Consumer, unread: set[int]) -> Iterator[Message]:
        """Yield all records; each partition that was read to its end is removed from `unread`."""
        heard_at = self._monotonic()
        while unread and not self._stop.is_set() and self._monotonic() - heard_at < _SILENCE_S:
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                heard_at = self._monotonic()
                yield message
            elif error.code() == codes.END:
                heard_at = self._monotonic()
                unread.discard(message.partition() or 0)
