"""Finds runs that have stopped, by reading `runs` from the times of their cancels on."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams import logs
from streams.clock import now_ms
from streams.kafka import clients, codes
from streams.kafka.consumers import follower
from streams.settings import Settings
from topology import codec, keys, limits
from topology.codec import CodecError
from topology.records import RunRecord
from topology.topics import RUNS

# How far the clocks of brokers and joiners may differ.
_CLOCKS_MS: Final = limits.MINUTE_MS
# A run's tombstone stays for a day; two days leave a margin.
_TOMBSTONES_MS: Final = 2 * limits.DAY_MS
_POLL_S: Final = 0.2
_TIMEOUT_S: Final = 10.0
_MOST_S: Final = 60.0
log = logs.get(__name__)


def find_stopped_runs(settings: Settings, partitions: int, asked: Mapping[str, int]) -> set[str]:
    """The ids of stopped runs; `asked`: the times of cancels (ms since 1970), by run id.

    Compaction keeps a run's last record, so old stops are found too. If a run was cancelled over
    two days ago and has no record, even its tombstone is gone: the run has stopped.
    """
    client = clients.librdkafka(settings, log_level=0)
    consumer = follower(client, f"{settings.application_id}-worker")
    try:
        return _look(consumer, settings.topic(RUNS), partitions, asked)
    except KafkaException as error:
        log.warning("Runs can't be read now: looked for again", error=error.args[0].str())
        return set()
    finally:
        consumer.close()


def _look(consumer: Consumer, topic: str, partitions: int, asked: Mapping[str, int]) -> set[str]:
    homes = {
        run_id: keys.partition_of_run(keys.run_id_bytes(run_id), partitions) for run_id in asked
    }
    earliest: dict[int, int] = {}
    for run_id, home in homes.items():
        since = max(0, asked[run_id] - _CLOCKS_MS)
        earliest[home] = min(since, earliest.get(home, since))
    wanted = [TopicPartition(topic, home, since) for home, since in earliest.items()]
    starts = consumer.offsets_for_times(wanted, timeout=_TIMEOUT_S)
    for place in starts:
        if place.error is not None:
            raise KafkaException(place.error)
    consumer.assign(starts)
    unread, stopped, found = set(earliest), set(), set()
    for message in _records(consumer, unread):
        key = message.key()
        run_id = key.decode() if isinstance(key, bytes) else ""
        if run_id in asked:
            found.add(run_id)
            if has_stopped(message.value()):
                stopped.add(run_id)
    over_before = now_ms() - _TOMBSTONES_MS
    nothing_left = {key for key in asked.keys() - found if homes[key] not in unread}
    return stopped | {run_id for run_id in nothing_left if asked[run_id] < over_before}


def _records(consumer: Consumer, unread: set[int]) -> Iterator[Message]:
    """Yield all records; each partition that was read to its end is removed from `unread`."""
    until = time.monotonic() + _MOST_S
    while unread and time.monotonic() < until:
        message = consumer.poll(_POLL_S)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
        elif error.code() == codes.END:
            unread.discard(message.partition() or 0)


def has_stopped(value: bytes | str | None) -> bool:
    """Whether a record of `runs` has `stopped_at`, or is a tombstone."""
    if not isinstance(value, bytes):
        return value is None
    try:
        return codec.decode_json(value, RunRecord).stopped_at is not None
    except CodecError:
        return False
