"""Finds runs that have stopped, by reading `runs` from the times of their cancels on."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams import logs
from streams.settings import Settings
from topology import codec, keys, limits
from topology.codec import CodecError
from topology.records import RunRecord
from topology.topics import RUNS

# How far the clocks of brokers and joiners may differ.
_CLOCKS_MS: Final = limits.MINUTE_MS
_POLL_S: Final = 0.2
_TIMEOUT_S: Final = 10.0
_MOST_S: Final = 60.0
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001  # librdkafka's public error codes
_log = logs.get(__name__)


def look_for_stops(settings: Settings, partitions: int, asked: Mapping[str, int]) -> set[str]:
    """Those of the runs, given with the times of their cancels (ms), that have stopped.

    Compaction keeps a run's last record, so what has stopped is found however long ago it was.
    """
    consumer = Consumer(
        settings.librdkafka(
            group_id=f"{settings.application_id}-worker",  # asked for, never joined
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_partition_eof=True,
            log_level=0,
        )
    )
    try:
        return _look(consumer, settings.topic(RUNS), partitions, asked)
    except KafkaException as error:
        _log.warning("Runs can't be read now: looked for again", error=error.args[0].str())
        return set()
    finally:
        consumer.close()


def _look(consumer: Consumer, topic: str, partitions: int, asked: Mapping[str, int]) -> set[str]:
    earliest: dict[int, int] = {}
    for run_id, since in asked.items():
        home = keys.partition_of_run(keys.run_id_bytes(run_id), partitions)
        earliest[home] = min(since - _CLOCKS_MS, earliest.get(home, since))
    wanted = [TopicPartition(topic, home, max(0, since)) for home, since in earliest.items()]
    consumer.assign(consumer.offsets_for_times(wanted, timeout=_TIMEOUT_S))
    unread, stopped = set(earliest), set()
    end = time.monotonic() + _MOST_S
    while unread and time.monotonic() < end:
        message = consumer.poll(_POLL_S)
        if message is None:
            continue
        error = message.error()
        if error is not None:
            if error.code() == _END:
                unread.discard(message.partition() or 0)
            continue
        key = message.key()
        run_id = key.decode() if isinstance(key, bytes) else ""
        if run_id in asked and has_stopped(message.value()):
            stopped.add(run_id)
    return stopped


def has_stopped(value: bytes | str | None) -> bool:
    """Whether a record of `runs` says that its run's worker has left it, or that it is gone."""
    if not isinstance(value, bytes):
        return value is None
    try:
        return codec.decode_json(value, RunRecord).stopped_at is not None
    except CodecError:
        return False
