"""`countermand worker`: an event loop that decides, and threads that read and write Kafka."""

import asyncio
import os
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import uvloop
from confluent_kafka import Message

from streams import logs, private
from streams.errors import RecordRefusedError
from streams.functions.changes import Difference
from streams.functions.reader import RegistryReader
from streams.functions.writer import apply_functions, plan_functions
from streams.health import Health, Kind
from streams.kafka import clients
from streams.kafka.certificates import show_certificates
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.headers import headers_of
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.sdk.app import App
from streams.sdk.execution import shortened, text_of
from streams.sdk.worker.cleanup import Calls, Cleanups, Effort, Letter
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.history import History
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.intake import EndedRuns, Intake
from streams.sdk.worker.journal import Journal, Outgoing, monotonic
from streams.sdk.worker.leases import leased_functions
from streams.sdk.worker.pool import Pool
from streams.sdk.worker.reader import GroupReader
from streams.sdk.worker.records import read_run, slug_of
from streams.sdk.worker.run_watch import RunWatch
from streams.sdk.worker.stopped_runs import StoppedRuns
from streams.sdk.worker.stopping import end_now, obey_signals
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Limits, Worker
from streams.settings import Settings
from streams.web import WebServer
from topology import limits
from topology.records import RunRecord
from topology.topics import CANCELLED, DEAD_LETTERS, FUNCTIONS, RUN_UPDATES, RUNS, STEPS

_LOOK_S: Final = 0.05
# How long tasks that were cancelled at the end have to end, and how long all of the end may take
# after the grace.
_LAST_S: Final = 2.0
_END_S: Final = 20.0
_GROUPS: Final = "groups"
_RIGHTS: Final = "rights"
log = logs.get(__name__)


def run_worker(
    settings: Settings,
    app: App,
    show: Callable[[tuple[Difference, ...]], None] = lambda _: None,
) -> None:
    """Apply the app's functions, then work until SIGTERM or SIGINT; serves metrics and health.

    Before the functions are applied, `show` is called with the changes. If user code can't be
    interrupted at the end, the process ends without returning.

    Raises:
        CountermandError: The worker can't start, or can't go on.
    """
    partitions = check_topics(settings).partitions
    definitions = [function.definition for function in app.functions.values()]
    config, topic = clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS)
    show(plan_functions(config, topic, definitions))
    apply_functions(config, topic, definitions)
    _warn_of_unknown(config, topic, app)
    metrics, health = Metrics(process="worker"), Health()
    metrics.watch_disk(settings.state_dir)
    show_certificates(settings, metrics)
    health.add(Kind.READY, _GROUPS, lambda: "the worker starts")
    with (
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        process = _Process(settings, app, metrics, health, url=web.url, partitions=partitions)
        try:
            runner.run(process.run())
        finally:
            if process.hangs:
                _end_hanging(sys.exception())


class _Process:
    """One worker process: its parts and their threads.

    Attributes:
        name: The worker's name in its claims.
        hangs: Whether, at the end, user code goes on that can't be interrupted.
    """

    def __init__(  # noqa: PLR0913  # each is one independent part of a process
        self,
        settings: Settings,
        app: App,
        metrics: Metrics,
        health: Health,
        *,
        url: str,
        partitions: int,
    ) -> None:
        self._settings = settings
        self._app = app
        self._partitions = partitions
        self._url = url
        self._metrics = metrics
        self._figures = Figures(metrics)
        self._health = health
        self.name = settings.worker_name or _new_name()
        self.hangs = False
        self._folder = settings.state_dir / "workers" / self.name

    async def run(self) -> None:
        """Start everything, work, and stop in order: claim no new runs, then write last updates."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        private.make_folder(self._settings.state_dir)
        private.make_tree(self._folder.parent)  # workers that were killed leave files behind
        private.make_folder(self._folder)
        threads, pool = _Threads(loop, stopping), Pool(None, "thread")
        loop.set_default_executor(pool)  # user code may use it too
        parts: _Parts | None = None
        try:
            parts = await self._made(loop)
            grace_s = self._settings.worker_grace.total_seconds()
            stop = partial(loop.call_soon_threadsafe, stopping.set)
            obey_signals(stop, grace_s + _END_S, parts.worker.executing)
            await self._work(loop, stopping, threads, parts)
        finally:
            if parts is not None:
                parts.close()
            await asyncio.to_thread(threads.close)
            shutil.rmtree(self._folder, ignore_errors=True)
            self.hangs = await _goes_on(
                lambda: pool.is_busy or (parts is not None and parts.is_busy)
            )
        threads.raise_failure()

    async def _made(self, loop: asyncio.AbstractEventLoop) -> "_Parts":
        """Make the parts, and connect; nothing is read or written yet."""
        settings, app, partitions = self._settings, self._app, self._partitions
        ignored = Ignored(self._figures)
        updates = Updates(settings, self.name, partitions)
        written = (RUN_UPDATES, STEPS, *((DEAD_LETTERS,) if app.cleanups else ()))
        journal = Journal(settings, self.name, loop, [settings.topic(one) for one in written])
        history = History(settings, self._folder / "steps", loop, ignored)
        bounds = Limits(
            settings.worker_concurrency,
            round(settings.worker_park_after.total_seconds() * 1000),
            settings.worker_overrun.total_seconds(),
        )
        member = partial(GroupReader, settings, self._metrics)
        reader = member(settings.worker_group(app.id), settings.topic(RUNS))
        cleaner = member(settings.cleanup_group(app.id), settings.topic(CANCELLED))
        worker = Worker(updates, journal, history, bounds, self._figures, reader.done)
        ended = EndedRuns(updates, history, journal, reader.done)
        pool, stop_looking = Pool(None, "cleanup"), threading.Event()
        stopped_runs = StoppedRuns(settings, partitions, ignored, stop_looking)
        config = clients.librdkafka(settings, log_level=0)
        calls = Calls(
            done=cleaner.done,
            bury=partial(bury, settings, journal, self._figures),
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
            watch=await asyncio.to_thread(RunWatch, settings, partitions),
            ignored=ignored,
            stop_looking=stop_looking,
        )

    async def _work(
        self,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Event,
        threads: "_Threads",
        parts: "_Parts",
    ) -> None:
        worker, cleanups = parts.worker, parts.cleanups
        watched = _Watched(self._app, worker, cleanups, loop, parts.ignored)
        readers = [parts.reader, parts.cleaner] if self._app.cleanups else [parts.reader]
        parts.let_go()  # until it is known that this worker may write
        threads.start("journal", parts.journal.run, last=True)
        threads.start("history", parts.history.run)
        watch = partial(parts.watch.run, select=watched.select, deliver=watched.deliver)
        threads.start("watch", watch)
        threads.start("runs", partial(parts.reader.run, handler=parts.intake))
        if self._app.cleanups:
            threads.start("cancelled", partial(parts.cleaner.run, handler=cleanups))
        self._health.add(Kind.READY, _RIGHTS, lambda: parts.journal.missing)
        self._health.add(Kind.READY, _GROUPS, lambda: _not_joined(readers))
        duties = (worker.tend(), parts.ended.tend(), cleanups.look_after())
        tending = [loop.create_task(duty) for duty in duties]
        for task in tending:
            task.add_done_callback(threads.look_at)
        log.info("Worker is ready", worker=self.name, url=self._url, app=self._app.id)
        while not stopping.is_set():
            parts.attend()
            await asyncio.sleep(_LOOK_S)
        log.info("Worker stops", runs=len(worker.runs))
        await asyncio.gather(
            worker.leave(self._settings.worker_grace.total_seconds()),
            asyncio.to_thread(threads.stop, "runs", "cancelled"),
        )
        for task in tending:
            task.cancel()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a worker process is made of."""

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


async def _goes_on(is_busy: Callable[[], bool]) -> bool:
    """Cancel all other tasks; whether one of them, or a call in a thread, goes on all the same."""
    end = monotonic() + _LAST_S
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    while len(asyncio.all_tasks()) > 1 or is_busy():
        if monotonic() > end:
            return True
        await asyncio.sleep(_LOOK_S)
    return False


class _Threads:
    """The threads of a process; if a thread fails, the process ends with its error."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        self._loop = loop
        self._stopping = stopping
        self._failure: BaseException | None = None
        self._threads: dict[str, tuple[threading.Thread, threading.Event]] = {}
        self._last: list[str] = []

    def start(
        self, name: str, work: Callable[[threading.Event], None], *, last: bool = False
    ) -> None:
        """Run `work` in a thread until the event is set; `last`: stop it after the others."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(work, stop), name=name, daemon=True)
        self._threads[name] = thread, stop
        if last:
            self._last.append(name)
        thread.start()

    def stop(self, *names: str) -> None:
        """Stop the named threads, and wait for their ends."""
        found = [self._threads.pop(name) for name in names if name in self._threads]
        for _, stop in found:
            stop.set()
        for thread, _ in found:
            thread.join()

    def close(self) -> None:
        """Stop all threads."""
        self.stop(*(name for name in list(self._threads) if name not in self._last))
        self.stop(*self._last)

    def raise_failure(self) -> None:
        """Raise the first error of a thread or task, if there was any."""
        if self._failure is not None:
            raise self._failure

    def look_at(self, task: asyncio.Task[None]) -> None:
        """End the process if a task of the loop ended with an error."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _run(self, work: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  # it ends the process, in order
            self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stopping.set()


def _end_hanging(failure: BaseException | None) -> None:
    """End the process, though user code goes on; nobody else can report the failure then."""
    log.warning("The process ends, though a function or cleanup goes on that can't be interrupted")
    if failure is not None:
        log.error("Stopped by an error", error=str(failure))
    end_now(0 if failure is None else 1)


def _warn_of_unknown(config: Mapping[str, Any], topic: str, app: App) -> None:
    """Warn of cleanups for functions that no app has: their names may be mistyped."""
    others = app.cleanups.keys() - app.by_slug().keys()
    if not others:
        return
    with RegistryReader(config, topic) as reader:
        unknown = others - set(reader.load().slugs())
    for slug in sorted(unknown):
        log.warning("on_cancelled names a function that nobody has", function_id=slug)


def _not_joined(readers: list[GroupReader]) -> str | None:
    return None if all(reader.has_joined for reader in readers) else "the group has no place yet"


def _new_name() -> str:
    """A name that no other worker ever has; claims and transactions contain it."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return name[-limits.WORKER_CHARS :]
