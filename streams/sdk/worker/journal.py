"""Writes all records of a worker in transactions: step outcomes together with run updates.

While a transaction is committed, the writes of all runs wait for the next one: a thousand runs
that end a step at the same time need one commit.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException

from streams import logs
from streams.errors import AbortedError, FencedError, GaveUpError
from streams.kafka import clients
from streams.kafka.producers import PARTITIONER
from streams.kafka.transactional import TransactionalProducer, producer_config
from streams.sdk.errors import Suspended
from streams.settings import Settings

_MOST_RECORDS: Final = 5_000
_MOST_BYTES: Final = 8 * 1024 * 1024
_IDLE_S: Final = 0.1
_PAUSE_S: Final = 0.5
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write; with `partition` -1, the key decides the partition."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int = -1
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Records to write in one transaction, if `may_write` returns True right before it."""

    records: Sequence[Outgoing]
    done: asyncio.Future[None]
    may_write: Callable[[], bool]

    @property
    def bytes(self) -> int:
        """The size of keys and values."""
        return sum(len(record.value or b"") + len(record.key) for record in self.records)


class Journal:
    """Takes writes from the event loop; a thread calls `run`, which commits them."""

    def __init__(self, settings: Settings, worker: str, loop: asyncio.AbstractEventLoop) -> None:
        """A journal for one worker; no other worker may have the name `worker`."""
        transactional_id = f"{settings.application_id}-worker-{worker}"
        self._config = clients.librdkafka(
            settings,
            partitioner=PARTITIONER,
            allow_auto_create_topics=False,
            log_level=clients.CRITICAL,
            logger=logging.getLogger(f"{__name__}.kafka"),
        ) | producer_config(transactional_id)
        self._loop = loop
        self._writes: queue.SimpleQueue[Write] = queue.SimpleQueue()
        self._kept_back: Write | None = None
        self._producer: TransactionalProducer | None = None

    async def write(
        self, records: Sequence[Outgoing], may_write: Callable[[], bool] = lambda: True
    ) -> None:
        """Write records in one transaction; returns when the transaction is committed.

        Raises:
            Suspended: `may_write` returned False: this worker no longer has the run.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._writes.put(Write(records, done, may_write))
        await done

    def run(self, stop: threading.Event) -> None:
        """Commit until `stop` is set and everything is written, or can't be written."""
        batch: list[Write] = []
        while batch or not (stop.is_set() and self._writes.empty() and self._kept_back is None):
            batch = self._allowed(batch) or self._allowed(self._next())
            if not batch:
                continue
            try:
                commit(self._living(stop), batch)
            except (AbortedError, FencedError, GaveUpError, KafkaException) as error:
                log.warning("Nothing was committed: it is tried again", error=str(error))
                if not isinstance(error, AbortedError):
                    self._close()
                if stop.wait(_PAUSE_S):
                    break  # the runs are dispatched again when their leases end
            else:
                self._loop.call_soon_threadsafe(_settle, batch)
                batch = []
        self._close()

    def _living(self, stop: threading.Event) -> TransactionalProducer:
        """The producer, new after an error; once `stop` is set, it doesn't wait for brokers."""
        if self._producer is None:
            producer = self._producer = TransactionalProducer(self._config, "worker")
            producer.leaving = stop
            producer.begin_life()
        return self._producer

    def _close(self) -> None:
        if self._producer is not None:
            self._producer.close()
        self._producer = None

    def _next(self) -> list[Write]:
        """The writes that wait, as many as fit into a transaction."""
        batch: list[Write] = []
        records = size = 0
        try:
            write = self._kept_back or self._writes.get(timeout=_IDLE_S)
            self._kept_back = None
            while True:
                records += len(write.records)
                size += write.bytes
                if batch and (records > _MOST_RECORDS or size > _MOST_BYTES):
                    self._kept_back = write
                    break
                batch.append(write)
                write = self._writes.get_nowait()
        except queue.Empty:
            pass
        return batch

    def _allowed(self, batch: list[Write]) -> list[Write]:
        """The writes whose `may_write` returns True; the others are refused."""
        allowed: list[Write] = []
        refused: list[Write] = []
        for write in batch:
            (allowed if write.may_write() else refused).append(write)
        if refused:
            self._loop.call_soon_threadsafe(_refuse, refused)
        return allowed


def commit(producer: TransactionalProducer, batch: Sequence[Write]) -> None:
    """Write a batch in one transaction."""

    def produce() -> None:
        for write in batch:
            for item in write.records:
                producer.producer.produce(
                    item.topic, item.value, item.key, item.partition, headers=list(item.headers)
                )

    producer.transact(produce)


def _settle(batch: Sequence[Write]) -> None:
    for write in batch:
        if not write.done.done():
            write.done.set_result(None)


def _refuse(batch: Sequence[Write]) -> None:
    for write in batch:
        if not write.done.done():
            write.done.set_exception(Suspended())


def monotonic() -> float:
    """The time in seconds by which leases end; the clock counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
