"""The worker of one app: its parts and their threads, from its start to its end.

It works on an event loop that the workers of other apps may share (`crew.py`).
"""

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from confluent_kafka import Message

from streams import logs, private
from streams.errors import RecordRefusedError
from streams.kafka import clients
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.headers import headers_of
from streams.metrics import Metrics
from streams.sdk.app import App, Function
from streams.sdk.execution import shortened, text_of
from streams.sdk.worker.cleanup import Calls, Cleanups, Effort, Letter
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.history import History
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.intake import EndedRuns, Intake, Tell, tells_nothing
from streams.sdk.worker.journal import Journal, Outgoing
from streams.sdk.worker.leases import leased_functions
from streams.sdk.worker.pool import Pool
from streams.sdk.worker.reader import GroupReader
from streams.sdk.worker.records import read_run, slug_of
from streams.sdk.worker.run_watch import RunWatch
from streams.sdk.worker.stopped_runs import StoppedRuns
from streams.sdk.worker.threads import Threads
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Limits, Worker
from streams.settings import Settings
from topology import limits
from topology.records import RunRecord
from topology.topics import CANCELLED, DEAD_LETTERS, FUNCTIONS, RUN_UPDATES, RUNS, STEPS, TopicSpec

# Where workers keep files, each in a folder with its name.
FOLDER: Final = "workers"
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """What the workers of a process share.

    Attributes:
        partitions: The partition count that topics share.
        fail: Called on the loop with an error that ends the process.
    """

    settings: Settings
    metrics: Metrics
    figures: Figures
    partitions: int
    loop: asyncio.AbstractEventLoop
    fail: Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class Voice:
    """What a worker writes besides steps and updates of runs: of ended runs, to these topics."""

    tell: Tell = tells_nothing
    topics: Sequence[TopicSpec] = ()


class AppWorker:
    """One app's worker; everything is called on the event loop.

    Attributes:
        name: Its name in claims and transactions; no other worker may ever have it.
    """

    def __init__(self, place: Place, app: App, name: str, voice: Voice) -> None:
        self.name = name
        self._place = place
        self._app = app
        self._voice = voice
        self._folder = place.settings.state_dir / FOLDER / name
        self._threads = Threads(place.loop, place.fail)
        self._parts: _Parts | None = None
        self._duties: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, and begin to work."""
        private.make_folder(self._folder)
        self._parts = parts = await self._made()
        worker, cleanups, threads = parts.worker, parts.cleanups, self._threads
        watched = _Watched(self._app, worker, cleanups, self._place.loop, parts.ignored)
        parts.let_go()  # until it is known that this worker may write
        threads.start("journal", parts.journal.run, last=True)
        threads.start("history", parts.history.run)
        watch = partial(parts.watch.run, select=watched.select, deliver=watched.deliver)
        threads.start("watch", watch)
        threads.start("runs", partial(parts.reader.run, handler=parts.intake))
        if self._app.cleanups:
            threads.start("cancelled", partial(parts.cleaner.run, handler=cleanups))
        duties = (worker.tend(), parts.ended.tend(), cleanups.look_after())
        self._duties = [self._place.loop.create_task(duty) for duty in duties]
        for task in self._duties:
            task.add_done_callback(threads.look_at)

    def add(self, function: Function) -> None:
        """Run this function too, or instead of the one with its id.

        Its runs that were left to other workers are read again.
        """
        is_new = function.slug not in self._app.by_slug()
        self._app.add(function)
        if is_new and self._parts is not None:
            self._parts.reader.rejoin()

    def attend(self) -> None:
        """Pause readers that are ahead; work only while all rights are there."""
        if self._parts is not None:
            self._parts.attend()

    async def leave(self) -> None:
        """Claim no new runs, hand over those that it has, and write last updates."""
        parts = self._parts
        if parts is None:
            return
        log.info("Worker stops", app=self._app.id, runs=len(parts.worker.runs))
        await asyncio.gather(
            parts.worker.leave(self._place.settings.worker_grace.total_seconds()),
            asyncio.to_thread(self._threads.stop, "runs", "cancelled"),
        )
        for task in self._duties:
            task.cancel()

    async def close(self) -> None:
        """Stop all threads, whatever they do."""
        if self._parts is not None:
            self._parts.close()
        await asyncio.to_thread(self._threads.close)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def missing_rights(self) -> str | None:
        """The rights that it lacks; None if it may write everything."""
        return None if self._parts is None else self._parts.journal.missing

    @property
    def has_joined(self) -> bool:
        """Whether its groups have given it a place."""
        parts = self._parts
        if parts is None:
            return False
        return parts.reader.has_joined and (parts.cleaner.has_joined or not self._app.cleanups)

    @property
    def is_busy(self) -> bool:
        """Whether a thread still executes user code."""
        return self._parts is not None and self._parts.is_busy

    def executing(self) -> list[str]:
        """What its runs do, for logs; of many runs only the first."""
        return [] if self._parts is None else self._parts.worker.executing()

    async def _made(self) -> "_Parts":
        """Make the parts, and connect; nothing is read or written yet."""
        place, app, loop = self._place, self._app, self._place.loop
        settings, figures = place.settings, place.figures
        ignored = Ignored(figures)
        updates = Updates(settings, self.name, place.partitions)
        buried = (DEAD_LETTERS,) if app.cleanups else ()
        written = (RUN_UPDATES, STEPS, *buried, *self._voice.topics)
        journal = Journal(settings, self.name, loop, [settings.topic(one) for one in written])
        history = History(settings, self._folder / "steps", loop, ignored)
        bounds = Limits(
            settings.worker_concurrency,
            round(settings.worker_park_after.total_seconds() * 1000),
            settings.worker_overrun.total_seconds(),
        )
        member = partial(GroupReader, settings, place.metrics)
        reader = member(settings.worker_group(app.id), settings.topic(RUNS))
        cleaner = member(settings.cleanup_group(app.id), settings.topic(CANCELLED))
        worker = Worker(updates, journal, history, bounds, figures, reader.done)
        ended = EndedRuns(updates, history, journal, reader.done, self._voice.tell)
        pool, stop_looking = Pool(None, "cleanup"), threading.Event()
        stopped_runs = StoppedRuns(settings, place.partitions, ignored, stop_looking)
        config = clients.librdkafka(settings, log_level=0)
        calls = Calls(
            done=cleaner.done,
            bury=partial(bury, settings, journal, figures),
            look_for=stopped_runs.look_for,
            leased=partial(leased_functions, config, settings.topic(FUNCTIONS)),
        )
        wait_ms = round(settings.worker_cleanup_wait.total_seconds() * 1000)
        return _Parts(
            journal=journal,
            history=history,
            reader=reader,
            cleaner=cleaner,
            worker=worker,
            ended=ended,
            intake=Intake(app, worker, ended, history, ignored),
            cleanups=Cleanups(app, pool, loop, calls, ignored, Effort(stop_within_ms=wait_ms)),
            cleanup_pool=pool,
            watch=await asyncio.to_thread(RunWatch, settings, place.partitions),
            ignored=ignored,
            stop_looking=stop_looking,
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a worker is made of."""

    journal: Journal
    history: History
    reader: GroupReader
    cleaner: GroupReader
    worker: Worker
    ended: EndedRuns
    intake: Intake
    cleanups: Cleanups
    cleanup_pool: Pool
    watch: RunWatch
    ignored: Ignored
    stop_looking: threading.Event

    @property
    def is_busy(self) -> bool:
        """Whether a thread still executes user code."""
        return self.worker.is_busy or self.cleanup_pool.is_busy

    def let_go(self) -> None:
        """Leave runs and partitions to other workers."""
        self.reader.is_away = self.cleaner.is_away = True
        self.worker.let_go()

    def attend(self) -> None:
        """Pause readers that are ahead; work only while all rights are there."""
        self.reader.is_full, self.cleaner.is_full = self.intake.is_full, self.cleanups.is_full
        may_write = self.journal.missing is None
        if may_write and self.reader.is_away:
            self.reader.is_away = self.cleaner.is_away = False
            self.worker.go_on()
        elif not (may_write or self.reader.is_away):
            self.let_go()

    def close(self) -> None:
        """Begin no more calls of cleanups, and no more looks."""
        self.stop_looking.set()
        self.cleanup_pool.close()


class _Watched:
    """Selects records of `runs`: of this process's runs, and of stops that cleanups wait for."""

    def __init__(
        self,
        app: App,
        worker: Worker,
        cleanups: Cleanups,
        loop: asyncio.AbstractEventLoop,
        ignored: Ignored,
    ) -> None:
        self._cleaned = frozenset(app.cleanups)
        self._worker = worker
        self._cleanups = cleanups
        self._loop = loop
        self._ignored = ignored

    def select(self, message: Message) -> RunRecord | None:
        """A record that is of use; must be fast, as it is called for each record of `runs`."""
        key, value = message.key(), message.value()
        if value is None or not (self._is_ours(key) or self._is_stop(message)):
            return None
        return self._ignored.unless_read(message, lambda: read_run(key, value))

    def deliver(self, records: list[RunRecord]) -> None:
        """Pass records to the worker and the cleanups, on the loop."""
        stopped = [run.run_id for run in records if run.stopped_at is not None]
        self._loop.call_soon_threadsafe(self._worker.seen, records)
        if stopped:
            self._loop.call_soon_threadsafe(self._cleanups.stopped, stopped)

    def _is_ours(self, key: bytes | str | None) -> bool:
        return isinstance(key, bytes) and key.decode(errors="replace") in self._worker.runs

    def _is_stop(self, message: Message) -> bool:
        if not self._cleaned or b'"stopped_at":' not in (message.value() or b""):
            return False
        headers = self._ignored.unless_read(message, lambda: headers_of(message))
        return slug_of(headers) in self._cleaned


async def bury(settings: Settings, journal: Journal, figures: Figures, letter: Letter) -> None:
    """Write the dead letter of a cleanup that failed for good.

    Raises:
        WriteRefusedError: Kafka doesn't take it, even without the record's value.
    """
    run, value, _ = letter.cancellation
    topic, key = settings.topic(CANCELLED), run.run_id.encode()
    origin = Origin(topic, letter.partition, letter.offset, key, value)
    kind = type(letter.error).__name__

    def written(limit: int) -> Outgoing:
        found = dead_letter(
            origin,
            stage="worker",
            kind=kind,
            message=shortened(text_of(letter.error)),
            limit=limit,
        )
        name = settings.topic(DEAD_LETTERS)
        return Outgoing(name, key, found.value, headers=tuple(found.headers))

    try:
        await journal.write([written(limits.MESSAGE_BYTES)])
    except RecordRefusedError:
        await journal.write([written(0)])
    figures.buried(kind)
