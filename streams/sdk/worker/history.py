"""Keeps the recorded steps of the runs in this worker's partitions, in files.

The files are restored from the topic `steps` each time a partition is assigned, so they may be
lost. Before a run's steps are looked up, the topic is read up to its high watermark. Reading only
to the last stable offset would miss an outcome whose commit isn't finished yet, and the step would
be executed again.
"""

import asyncio
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from confluent_kafka import OFFSET_BEGINNING, IsolationLevel, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    ListOffsetsResultInfo,
    OffsetSpec,
)
from rocksdict import AccessType, Options, Rdict

from streams import logs, private
from streams.kafka import clients, codes
from streams.kafka.admin import admin_client
from streams.kafka.consumers import follower
from streams.sdk.errors import Suspended
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.records import read_step, step_of
from streams.settings import Settings
from topology import codec
from topology.records import StepRecord
from topology.topics import STEPS

Recorded: TypeAlias = dict[str, dict[str, StepRecord]]
_MOST: Final = 1_000
_POLL_S: Final = 0.05
_ANSWER_S: Final = 5.0
_MIB: Final = 1024 * 1024
log = logs.get(__name__)


@dataclass(slots=True)
class _Question:
    """A question by the event loop for the recorded steps of some runs of a partition."""

    partition: int
    run_ids: Sequence[str]
    answer: asyncio.Future[Recorded]
    end: int | None = None


class History:
    """Answers the event loop; a thread calls `run`, which reads and stores the steps."""

    def __init__(
        self, settings: Settings, folder: Path, loop: asyncio.AbstractEventLoop, ignored: Ignored
    ) -> None:
        """Keep files under `folder`, which no other worker may use."""
        self._topic = settings.topic(STEPS)
        self._folder = folder
        self._loop = loop
        self._ignored = ignored
        self._admin = admin_client(settings)
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._questions: list[_Question] = []
        self._ends: dict[int, Future[ListOffsetsResultInfo]] = {}
        self._read: dict[int, int] = {}
        self._rows: dict[int, Rdict] = {}
        self._limiter = logs.Limiter()
        logger = logging.getLogger(f"{__name__}.kafka")
        self._consumer = follower(
            clients.librdkafka(settings, log_level=clients.CRITICAL, logger=logger),
            f"{settings.application_id}-worker",
            fetch_queue_backoff_ms=10,
        )

    # From other threads

    def assigned(self, partitions: set[int]) -> None:
        """Restore the steps of these partitions, and keep reading them."""
        self._calls.put(lambda: self._assign(partitions))

    def revoked(self, partitions: set[int]) -> None:
        """Remove the steps of these partitions."""
        self._calls.put(lambda: self._unassign(partitions))

    async def recorded(self, partition: int, run_ids: Sequence[str]) -> Recorded:
        """The outcomes recorded until now for a partition's runs, by run and step.

        Raises:
            Suspended: Another worker has the partition, and goes on with the runs.
        """
        question = _Question(partition, run_ids, self._loop.create_future())
        self._calls.put(lambda: self._questions.append(question))
        return await question.answer

    # In the thread

    def run(self, stop: threading.Event) -> None:
        """Read and answer until `stop` is set."""
        private.mask_thread()
        try:
            while not stop.is_set():
                with suppress(queue.Empty):
                    while True:
                        self._calls.get_nowait()()
                self._ask_for_ends()
                self._follow()
                self._answer()
        finally:
            self._unassign(set(self._rows))
            self._consumer.close()

    def _assign(self, partitions: set[int]) -> None:
        for partition in partitions - set(self._rows):
            folder = self._folder / str(partition)
            shutil.rmtree(folder, ignore_errors=True)
            private.make_folder(folder)
            self._rows[partition] = Rdict(
                str(folder), _options(), access_type=AccessType.read_write()
            )
            self._read[partition] = 0
            self._consumer.incremental_assign(
                [TopicPartition(self._topic, partition, OFFSET_BEGINNING)]
            )

    def _unassign(self, partitions: set[int]) -> None:
        for partition in partitions & set(self._rows):
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._rows.pop(partition).close()
            del self._read[partition]
            shutil.rmtree(self._folder / str(partition), ignore_errors=True)

    def _ask_for_ends(self) -> None:
        """Ask the brokers for the high watermarks of the partitions of new questions."""
        for partition in {new.partition for new in self._questions if new.end is None}:
            if partition in self._ends or partition not in self._rows:
                continue
            place = TopicPartition(self._topic, partition)
            futures = self._admin.list_offsets(
                {place: OffsetSpec.latest()},  # type: ignore[no-untyped-call]
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=_ANSWER_S,
            )
            self._ends[partition] = futures[place]
            for question in self._questions:
                if question.partition == partition and question.end is None:
                    question.end = -1  # asked

    def _follow(self) -> None:
        if not self._rows:
            self._wait()
            return
        first = self._consumer.poll(0.002 if self._questions else _POLL_S)
        if first is None:
            return
        messages: list[Any] = [first, *self._consumer.consume(_MOST - 1, 0)]
        for message in messages:
            rows = self._rows.get(message.partition())
            if rows is None:
                continue
            error = message.error()
            if error is None:
                self._keep(rows, message)
                self._read[message.partition()] = message.offset() + 1
            elif error.code() == codes.END:
                self._read[message.partition()] = message.offset()
            elif self._limiter.admit(error.code()) is not None:
                log.warning("Kafka reports trouble with steps", error=error.str())

    def _keep(self, rows: Rdict, message: Message) -> None:
        """Keep an outcome, or remove one; what is neither leaves the rows as they are."""
        key, value = message.key(), message.value()
        read = step_of if value is None else partial(read_step, value=value)
        if self._ignored.unless_read(message, lambda: read(key)) is None:
            return
        assert key is not None, "it was just read"
        if value is None:
            rows.delete(key)
        else:
            rows.put(key, value)

    def _wait(self) -> None:
        with suppress(queue.Empty):
            self._calls.get(timeout=_POLL_S)()

    def _answer(self) -> None:
        ends = {
            partition: future.result().offset
            for partition, future in self._ends.items()
            if future.done() and future.exception() is None and future.result().offset >= 0
        }
        waiting = []
        for one in self._questions:
            if one.end == -1 and one.partition in self._ends and self._ends[one.partition].done():
                one.end = ends.get(one.partition)  # None: asked again
            rows = self._rows.get(one.partition)
            if rows is None:
                self._loop.call_soon_threadsafe(_fail, one.answer)
            elif one.end is not None and 0 <= one.end <= self._read[one.partition]:
                found = {run_id: _recorded(rows, run_id) for run_id in one.run_ids}
                self._loop.call_soon_threadsafe(_settle, one.answer, found)
            else:
                waiting.append(one)
        self._questions = waiting
        self._ends = {
            partition: future for partition, future in self._ends.items() if not future.done()
        }


def step_key(run_id: str, step: str) -> bytes:
    """The key of a step's record."""
    return f"{run_id}/{step}".encode()


def _recorded(rows: Rdict, run_id: str) -> dict[str, StepRecord]:
    prefix = step_key(run_id, "")
    found = {}
    iterator = rows.iter()
    iterator.seek(prefix)
    while iterator.valid() and iterator.key().startswith(prefix):
        record = codec.decode_json(iterator.value(), StepRecord)
        found[record.step] = record
        iterator.next()
    return found


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_write_buffer_size(4 * _MIB)
    options.set_max_open_files(32)
    options.set_keep_log_file_num(1)
    return options


def _settle(answer: asyncio.Future[Recorded], found: Recorded) -> None:
    if not answer.done():
        answer.set_result(found)


def _fail(answer: asyncio.Future[Recorded]) -> None:
    if not answer.done():
        answer.set_exception(Suspended())
