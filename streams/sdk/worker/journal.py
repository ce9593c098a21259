"""Writes all records of a worker in transactions: step outcomes together with run updates.

While a transaction is committed, the writes of all runs wait for the next one: a thousand runs
that end a step at the same time need one commit. If Kafka never takes one of the records, the
batch is divided until the write that has it is found; that write alone fails.
"""

import asyncio
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from streams import logs
from streams.errors import (
    AbortedError,
    NotAllowedError,
    RecordRefusedError,
    TransactionError,
)
from streams.kafka import clients, codes
from streams.kafka.producers import PARTITIONER
from streams.kafka.transactional import TransactionalProducer, producer_config
from streams.sdk.errors import Suspended
from streams.settings import Settings

_MOST_RECORDS: Final = 5_000
_MOST_BYTES: Final = 8 * 1024 * 1024
_IDLE_S: Final = 0.1
_PAUSE_S: Final = 0.5
# How often a right that is missing is looked for again.
_LOOK_EVERY_S: Final = 3.0
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write; with `partition` -1, the key decides the partition."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int = -1
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def bytes(self) -> int:
        """The size of key and value."""
        return len(self.key) + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Write:
    """Records to write in one transaction, if `may_write` returns True right before it."""

    records: Sequence[Outgoing]
    done: asyncio.Future[None]
    may_write: Callable[[], bool]

    @property
    def bytes(self) -> int:
        """The size of keys and values."""
        return sum(record.bytes for record in self.records)


class Journal:
    """Takes writes from the event loop; a thread calls `run`, which commits them.

    Attributes:
        missing: The rights that this worker lacks, as a text; None if it may write everything.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        loop: asyncio.AbstractEventLoop,
        topics: Sequence[str],
    ) -> None:
        """A journal for one worker, which writes to `topics`; no other may have its name."""
        self._id = f"{settings.application_id}-worker-{worker}"
        self._config = clients.librdkafka(
            settings,
            partitioner=PARTITIONER,
            allow_auto_create_topics=False,
            log_level=clients.CRITICAL,
            logger=logging.getLogger(f"{__name__}.kafka"),
        ) | producer_config(self._id)
        self._loop = loop
        self._topics = topics
        self._writes: queue.SimpleQueue[Write] = queue.SimpleQueue()
        self._kept_back: Write | None = None
        self._divided: deque[list[Write]] = deque()
        self._producer: TransactionalProducer | None = None
        # The topics to which this worker may not write, each with the right that it lacks.
        self._closed: dict[str, str] = {}
        self._looked_at = -math.inf
        self.missing: str | None = "whether this worker may write isn't known yet"

    async def write(
        self, records: Sequence[Outgoing], may_write: Callable[[], bool] = lambda: True
    ) -> None:
        """Write records in one transaction; returns when the transaction is committed.

        Raises:
            Suspended: `may_write` returned False: this worker no longer has the run.
            RecordRefusedError: Kafka never takes one of the records; none was written.
            NotAllowedError: This worker has no right to write to one of the topics.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._writes.put(Write(records, done, may_write))
        await done

    def run(self, stop: threading.Event) -> None:
        """Commit until `stop` is set and everything is written, or can't be written."""
        batch: list[Write] = []
        while batch or not (stop.is_set() and self._is_empty):
            if self.missing is not None and time.monotonic() - self._looked_at > _LOOK_EVERY_S:
                self._look_for_rights(stop)  # for the first time, or again
            batch = self._allowed(batch) or self._allowed(self._next())
            if not batch:
                continue
            try:
                commit(self._living(stop), batch)
            except (TransactionError, KafkaException) as error:
                if not isinstance(error, AbortedError):
                    self._close()
                code = _code_of(error)
                if code in codes.REFUSED:
                    self._divide(batch, error)
                    batch = []
                    continue
                log.warning("Nothing was committed: it is tried again", error=str(error))
                if code in {*codes.NOT_ALLOWED, codes.UNDELIVERED}:
                    self._look_for_rights(stop)
                if stop.wait(_PAUSE_S):
                    break  # the runs are dispatched again when their leases end
            else:
                self._loop.call_soon_threadsafe(_settle, batch)
                batch = []
        self._close()

    @property
    def _is_empty(self) -> bool:
        return self._writes.empty() and self._kept_back is None and not self._divided

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
        if self._divided:
            return self._divided.popleft()
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
        """The writes that may be written now; the others are refused."""
        allowed: list[Write] = []
        for write in batch:
            closed = next((one.topic for one in write.records if one.topic in self._closed), None)
            if closed is not None:
                self._refuse(write, NotAllowedError(f"no right to write to {closed}"))
            elif write.may_write():
                allowed.append(write)
            else:
                self._refuse(write, Suspended())
        return allowed

    def _divide(self, batch: list[Write], error: TransactionError | KafkaException) -> None:
        """Try the halves of a batch with a record that Kafka never takes, or refuse a single."""
        if len(batch) == 1:
            self._refuse(batch[0], RecordRefusedError(_reason(batch[0], error)))
            return
        half = len(batch) // 2
        self._divided.extendleft((batch[half:], batch[:half]))

    def _refuse(self, write: Write, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(_fail, write, error)

    def _look_for_rights(self, stop: threading.Event) -> None:
        """Find out to which topics this worker may write, by writing to each, without a commit."""
        closed: dict[str, str] = {}
        for topic in self._topics:
            if stop.is_set():
                return
            try:
                self._living(stop).rehearse(topic, self._id.encode())
            except (TransactionError, KafkaException) as error:
                if not isinstance(error, AbortedError):
                    self._close()
                code = _code_of(error)
                if code in codes.NOT_ALLOWED:
                    closed[topic] = right(code, topic, self._id)
                elif topic in self._closed:  # as before, since this says nothing
                    closed[topic] = self._closed[topic]
        self._looked_at = time.monotonic()
        before, self._closed = self._closed, closed
        needed = ", ".join(dict.fromkeys(closed.values()))
        if closed.keys() - before.keys():
            log.error("This worker may not write, and lets its runs go", missing=needed)
        elif before and not closed:
            log.info("This worker may write again")
        # Whoever reads it finds it in the log, too.
        self.missing = f"this worker's user needs the right: {needed}" if closed else None


def commit(producer: TransactionalProducer, batch: Sequence[Write]) -> None:
    """Write a batch in one transaction."""

    def produce() -> None:
        for write in batch:
            for item in write.records:
                producer.producer.produce(
                    item.topic, item.value, item.key, item.partition, headers=list(item.headers)
                )

    producer.transact(produce)


def right(code: int | None, topic: str, transactional_id: str) -> str:
    """The right that a refusal with this code says is missing, as operation and resource."""
    if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return f"Write on transactional id {transactional_id}"
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return "IdempotentWrite on the cluster"
    return f"Write on topic {topic}"


def _code_of(error: TransactionError | KafkaException) -> int | None:
    """Kafka's code for an error."""
    if isinstance(error, TransactionError):
        return error.code
    code: int = error.args[0].code()
    return code


def _reason(write: Write, error: TransactionError | KafkaException) -> str:
    """Why a write was refused; the largest record is the likely cause."""
    largest = max(write.records, key=lambda record: record.bytes)
    code = _code_of(error)
    words = str(error) if code is None else KafkaError(code).str()
    return f"Kafka refuses a record of {largest.bytes:,} bytes for {largest.topic}: {words}"


def _settle(batch: Sequence[Write]) -> None:
    for write in batch:
        if not write.done.done():
            write.done.set_result(None)


def _fail(write: Write, error: BaseException) -> None:
    if not write.done.done():
        write.done.set_exception(error)


def monotonic() -> float:
    """The time in seconds by which leases end; the clock counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
