"""What a worker does with the records of `runs` that its group's partitions bring.

A dispatch goes to the worker, which claims its run. Once a run has ended, the recorded outcomes of
its steps are removed from `steps`.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import Message

from streams import logs
from streams.errors import RecordRefusedError, WriteRefusedError
from streams.kafka.headers import headers_of
from streams.sdk.app import App
from streams.sdk.errors import Suspended
from streams.sdk.worker.claimed import has_ended
from streams.sdk.worker.dispatches import Dispatch
from streams.sdk.worker.history import History
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.journal import Journal, Outgoing
from streams.sdk.worker.reader import Left
from streams.sdk.worker.records import read_run, run_id_of, slug_of
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Worker
from topology.records import RunRecord

log = logs.get(__name__)
_FORGET_EVERY_S: Final = 0.5
_FORGOTTEN_AT_ONCE: Final = 1_000
_MOST_ENDED: Final = 20_000
_MOST_TOLD_BYTES: Final = 64 * 1024 * 1024
# In one write: more would be too much for a transaction.
_WRITTEN_AT_ONCE: Final = 2_000
_BYTES_AT_ONCE: Final = 8 * 1024 * 1024

# What is to be written of a run that has ended, together with the removal of its steps.
Tell: TypeAlias = Callable[[RunRecord], Sequence[Outgoing]]


def tells_nothing(_run: RunRecord) -> Sequence[Outgoing]:
    """Nothing but the removal of its steps is written of a run that has ended."""
    return ()


class Ended:
    """A run that has a tombstone: the outcomes of its steps are needed no more."""

    __slots__ = ("run_id",)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class EndedRuns:
    """Removes the recorded steps of runs that have ended, and tells of them; on the event loop."""

    def __init__(
        self,
        updates: Updates,
        history: History,
        journal: Journal,
        done: Callable[[int, int], None],
        tell: Tell = tells_nothing,
    ) -> None:
        """`done(partition, offset)` is called when a record needn't be read again."""
        self.done = done
        self._tell = tell
        self._updates = updates
        self._history = history
        self._journal = journal
        self._ended: dict[int, list[_End]] = {}

    @property
    def is_full(self) -> bool:
        """Whether so many runs wait that no more records should be read."""
        waiting = self._ended.values()
        if sum(map(len, waiting)) > _MOST_ENDED:
            return True
        told = (record for ended in waiting for end in ended for record in end.told)
        return sum(record.bytes for record in told) > _MOST_TOLD_BYTES

    def add(self, run: RunRecord | Ended, partition: int, offset: int) -> None:
        """Remove the steps of this run soon, and tell of it; `offset`: where its end was read."""
        told = () if isinstance(run, Ended) else self._told_of(run)
        self._ended.setdefault(partition, []).append(_End(run.run_id, offset, told))

    def revoked(self, partitions: set[int]) -> None:
        """Leave the runs of these partitions to the workers that read them now."""
        for partition in partitions:
            self._ended.pop(partition, None)

    async def tend(self) -> None:
        """Remove the steps of many runs at once, every half second, until cancelled."""
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            for partition, ended in list(self._ended.items()):
                left = self._ended[partition] = ended[_FORGOTTEN_AT_ONCE:]
                if not left:
                    del self._ended[partition]
                await self._forget(partition, ended[:_FORGOTTEN_AT_ONCE])

    async def _forget(self, partition: int, ended: list["_End"]) -> None:
        # Suspended: the worker that has the partition now reads these records too.
        with suppress(Suspended, WriteRefusedError):
            steps = await self._history.recorded(partition, [end.run_id for end in ended])
            removals = [
                self._updates.forgotten(run_id, step)
                for run_id, recorded in steps.items()
                for step in recorded
            ]
            told = [record for end in ended for record in end.told]
            try:
                await self._write([*told, *removals])
            except RecordRefusedError:  # one of them; the others don't suffer for it
                await asyncio.gather(*map(self._write_told, told))
                await self._write(removals)
            for end in ended:
                self.done(partition, end.offset)

    def _told_of(self, run: RunRecord) -> Sequence[Outgoing]:
        try:
            return self._tell(run)
        except Exception:  # the run's own, such as a trigger that is no event
            log.exception("An ended run can't be told of", run_id=run.run_id)
            return ()

    async def _write_told(self, record: Outgoing) -> None:
        try:
            await self._journal.write([record])
        except RecordRefusedError as error:
            log.warning("An ended run can't be told of", error=str(error))

    async def _write(self, records: Iterable[Outgoing]) -> None:
        for portion in _portions(records):
            await self._journal.write(portion)


def _portions(records: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Records in their order, as many at once as one write may have."""
    portion: list[Outgoing] = []
    size = 0
    for record in records:
        is_full = len(portion) == _WRITTEN_AT_ONCE or size + record.bytes > _BYTES_AT_ONCE
        if portion and is_full:
            yield portion
            portion, size = [], 0
        portion.append(record)
        size += record.bytes
    if portion:
        yield portion


class _End(NamedTuple):
    """A run that has ended, where that was read, and what is to be written of it."""

    run_id: str
    offset: int
    told: Sequence[Outgoing]


class Intake:
    """`reader.Handler` of `runs`: reads in the reader's thread, and acts on the event loop."""

    def __init__(  # what it hands records over to
        self, app: App, worker: Worker, ended: EndedRuns, history: History, ignored: Ignored
    ) -> None:
        """Made on the event loop."""
        self._app = app
        self._functions = app.by_slug()
        self._prefix = f"{app.id}-"
        self._worker = worker
        self._ended = ended
        self._history = history
        self._ignored = ignored
        self._limiter = logs.Limiter()
        self._loop = asyncio.get_running_loop()

    @property
    def is_full(self) -> bool:
        """Whether more was read than can be worked off soon."""
        return self._worker.is_full or self._ended.is_full

    def select(self, message: Message) -> RunRecord | Ended | Left | None:
        """The record of one of the app's runs; None for all other records."""
        headers = self._ignored.unless_read(message, lambda: headers_of(message))
        slug = slug_of(headers)
        if slug not in self._functions and not slug.startswith(self._prefix):
            return None
        key, value = message.key(), message.value()
        if value is None:
            run_id = self._ignored.unless_read(message, lambda: run_id_of(key))
            return None if run_id is None else Ended(run_id)
        record = self._ignored.unless_read(message, lambda: read_run(key, value))
        if record is None or record.app_id != self._app.id:
            return None
        if record.dispatch and record.function_id not in self._functions:
            self._say_unknown(record.function_id)
            return Left(record.function_id)
        return record

    def knows(self, name: str) -> bool:
        """Whether the app has a function whose runs another worker has left."""
        return name in self._functions

    def deliver(self, records: Sequence[tuple[int, int, object]]) -> None:
        """Let the event loop act on records that `select` returned."""
        self._loop.call_soon_threadsafe(self._take, records)

    def assigned(self, partitions: set[int]) -> None:
        """Restore the steps of these partitions, which are ours now."""
        self._history.assigned(partitions)

    def revoked(self, partitions: set[int]) -> None:
        """Forget everything of these partitions, which are no longer ours."""
        self._history.revoked(partitions)
        self._loop.call_soon_threadsafe(self._revoked, partitions)

    def _revoked(self, partitions: set[int]) -> None:
        self._worker.revoked(partitions)
        self._ended.revoked(partitions)

    def _take(self, records: Sequence[tuple[int, int, object]]) -> None:
        for partition, offset, record in records:
            if isinstance(record, Ended):
                self._worker.went_on(record.run_id)
                self._ended.add(record, partition, offset)
                continue
            assert isinstance(record, RunRecord), "`select` returns nothing else"
            if record.dispatch:
                function = self._functions[record.function_id]
                self._worker.dispatched([Dispatch(record, function, partition, offset)])
                continue
            self._worker.went_on(record.run_id)
            if has_ended(record.status):
                self._ended.add(record, partition, offset)
            else:
                self._ended.done(partition, offset)

    def _say_unknown(self, function_id: str) -> None:
        if self._limiter.admit(function_id) is not None:
            log.warning(
                "A run of a function that this worker doesn't have is left to one that does",
                function_id=function_id,
            )
