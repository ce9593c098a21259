"""`countermand worker`: an event loop that decides, and threads that read and write Kafka."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import uvloop
from confluent_kafka import Message

from streams import logs, private
from streams.functions.changes import Difference
from streams.functions.reader import RegistryReader
from streams.functions.writer import apply_functions, plan_functions
from streams.health import Health, Kind
from streams.kafka import clients
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.sdk.app import App
from streams.sdk.execution import shortened, text_of
from streams.sdk.worker.cleanup import Calls, Cleanups, Letter
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.history import History
from streams.sdk.worker.intake import EndedRuns, Intake, read_record, slug_of
from streams.sdk.worker.journal import Journal, Outgoing
from streams.sdk.worker.reader import GroupReader
from streams.sdk.worker.run_watch import RunWatch
from streams.sdk.worker.stopped_runs import find_stopped_runs
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Limits, Worker
from streams.settings import Settings
from streams.web import WebServer
from topology import limits
from topology.topics import CANCELLED, DEAD_LETTERS, FUNCTIONS, RUNS

_LOOK_S: Final = 0.05
_GROUPS: Final = "groups"
log = logs.get(__name__)


def run_worker(
    settings: Settings,
    app: App,
    show: Callable[[tuple[Difference, ...]], None] = lambda _: None,
) -> None:
    """Apply the app's functions, then work until SIGTERM or SIGINT; serves metrics and health.

    Before the functions are applied, `show` is called with the changes.

    Raises:
        CountermandError: The worker can't start, or can't go on.
    """
    partitions = check_topics(settings).partitions
    definitions = [function.definition for function in app.functions.values()]
    config, topic = clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS)
    show(plan_functions(config, topic, definitions))
    apply_functions(config, topic, definitions)
    _warn_of_unknown(config, topic, app)
    metrics, health = Metrics(), Health()
    health.add(Kind.READY, _GROUPS, lambda: "the worker starts")
    with (
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        process = _Process(settings, app, metrics, health, url=web.url, partitions=partitions)
        runner.run(process.run())


class _Process:
    """One worker process: its parts and their threads."""

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
        self._folder = settings.state_dir / "workers" / self.name

    async def run(self) -> None:
        """Start everything, work, and stop in order: claim no new runs, then write last updates."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        threads = _Threads(loop, stopping)
        private.make_folder(self._settings.state_dir)
        private.make_tree(self._folder.parent)  # workers that were killed leave files behind
        private.make_folder(self._folder)
        try:
            await self._work(loop, stopping, threads)
        finally:
            await asyncio.to_thread(threads.close)
            shutil.rmtree(self._folder, ignore_errors=True)
        threads.raise_failure()

    async def _work(
        self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event, threads: "_Threads"
    ) -> None:
        settings, partitions = self._settings, self._partitions
        updates = Updates(settings, self.name, partitions)
        journal = Journal(settings, self.name, loop)
        history = History(settings, self._folder / "steps", loop)
        bounds = Limits(
            settings.worker_concurrency,
            round(settings.worker_park_after.total_seconds() * 1000),
            settings.worker_overrun.total_seconds(),
        )
        group = f"{settings.application_id}-{{}}-{self._app.id}"
        member = partial(GroupReader, settings, self._metrics)
        reader = member(group.format("worker"), settings.topic(RUNS))
        cleaner = member(group.format("cleanup"), settings.topic(CANCELLED))
        worker = Worker(updates, journal, history, bounds, self._figures, reader.done)
        ended = EndedRuns(updates, history, journal, reader.done)
        intake = Intake(self._app, worker, ended, history)
        executor = ThreadPoolExecutor(thread_name_prefix="cleanup")
        cleanups = Cleanups(
            self._app,
            executor,
            loop,
            Calls(
                done=cleaner.done,
                bury=partial(self._bury, journal),
                look_for=partial(find_stopped_runs, settings, partitions),
            ),
        )
        watch = await asyncio.to_thread(RunWatch, settings)
        threads.start("journal", journal.run, last=True)
        threads.start("history", history.run)
        handler = _WatchHandler(self._app, worker, cleanups, loop)
        threads.start("watch", partial(watch.run, wanted=handler.wanted, deliver=handler.deliver))
        threads.start("runs", partial(reader.run, handler=intake))
        if self._app.cleanups:
            threads.start("cancelled", partial(cleaner.run, handler=cleanups))
        readers = [reader, cleaner] if self._app.cleanups else [reader]
        self._health.add(Kind.READY, _GROUPS, lambda: _not_joined(readers))
        duties = (worker.tend(), ended.tend(), cleanups.look_after())
        tending = [loop.create_task(duty) for duty in duties]
        for task in tending:
            task.add_done_callback(threads.look_at)
        log.info("Worker is ready", worker=self.name, url=self._url, app=self._app.id)
        while not stopping.is_set():
            reader.is_full, cleaner.is_full = intake.is_full, cleanups.is_full
            await asyncio.sleep(_LOOK_S)
        log.info("Worker stops", runs=len(worker.runs))
        await asyncio.gather(
            worker.leave(settings.worker_grace.total_seconds()),
            asyncio.to_thread(threads.stop, "runs", "cancelled"),
        )
        for task in tending:
            task.cancel()
        executor.shutdown(wait=False, cancel_futures=True)

    async def _bury(self, journal: Journal, letter: Letter) -> None:
        """Write a dead letter for a cleanup that failed for good."""
        cancellation = letter.cancellation
        topic = self._settings.topic(CANCELLED)
        key = cancellation.run.run_id.encode()
        origin = Origin(topic, letter.partition, letter.offset, key, cancellation.value)
        message = shortened(text_of(letter.error))
        found = dead_letter(
            origin, stage="worker", kind=type(letter.error).__name__, message=message
        )
        record = Outgoing(
            self._settings.topic(DEAD_LETTERS), key, found.value, headers=tuple(found.headers)
        )
        await journal.write([record])


class _WatchHandler:
    """Selects records of `runs`: of this process's runs, and of stops that cleanups wait for."""

    def __init__(
        self, app: App, worker: Worker, cleanups: Cleanups, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._cleaned = frozenset(app.cleanups)
        self._worker = worker
        self._cleanups = cleanups
        self._loop = loop

    def wanted(self, message: Message) -> bool:
        """Whether to deliver a record; must be fast, as it is called for each record of `runs`."""
        if (message.key() or b"").decode() in self._worker.runs:
            return True
        return (
            bool(self._cleaned)
            and b'"stopped_at":' in (message.value() or b"")
            and slug_of(message) in self._cleaned
        )

    def deliver(self, values: list[bytes]) -> None:
        """Pass the records to the worker and the cleanups, on the loop."""
        records = [record for value in values if (record := read_record(value)) is not None]
        stopped = [run.run_id for run in records if run.stopped_at is not None]
        self._loop.call_soon_threadsafe(self._worker.seen, records)
        if stopped:
            self._loop.call_soon_threadsafe(self._cleanups.stopped, stopped)


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
