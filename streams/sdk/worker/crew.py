"""The workers of a process, one for each app, on one event loop until a signal."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from streams import logs, private
from streams.health import Health, Kind
from streams.metrics import Metrics
from streams.sdk.app import App
from streams.sdk.worker.app_worker import FOLDER, AppWorker, Place, Voice
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.journal import monotonic
from streams.sdk.worker.pool import Pool
from streams.sdk.worker.stopping import end_now, obey_signals
from streams.settings import Settings
from topology import limits

_LOOK_S: Final = 0.05
# How long tasks that were cancelled at the end have to end, and how long all of the end may take
# after the grace.
_LAST_S: Final = 2.0
_END_S: Final = 20.0
log = logs.get(__name__)


class Crew:
    """The workers of a process; everything is called on the event loop, in the main thread.

    Attributes:
        hangs: Whether, at the end, user code goes on that can't be interrupted.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, health: Health, partitions: int
    ) -> None:
        """To be made before `health` is served; `partitions` is the count that topics share."""
        self.hangs = False
        self._settings = settings
        self._metrics = metrics
        self._partitions = partitions
        self._figures = Figures(metrics)
        self._workers: list[AppWorker] = []
        self._stopping = asyncio.Event()
        self._turn = asyncio.Lock()
        self._failure: BaseException | None = None
        self._has_begun = False
        health.add(Kind.READY, "rights", self._missing_rights)
        health.add(Kind.READY, "groups", self._not_joined)

    async def run(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Let `begin` add workers, work, and stop in order: claim no new runs, then write the last.

        Raises:
            BaseException: What a thread or task has failed with.
        """
        loop, pool = asyncio.get_running_loop(), Pool(None, "thread")
        private.make_folder(self._settings.state_dir)
        private.make_tree(self._settings.state_dir / FOLDER)  # who was killed leaves files behind
        loop.set_default_executor(pool)  # user code may use it too
        grace_s = self._settings.worker_grace.total_seconds()
        stop = partial(loop.call_soon_threadsafe, self._stopping.set)
        obey_signals(stop, grace_s + _END_S, self._executing)
        try:
            await begin()
            self._has_begun = True
            while not self._stopping.is_set():
                for worker in self._workers:
                    worker.attend()
                await asyncio.sleep(_LOOK_S)
            async with self._turn:
                await asyncio.gather(*(worker.leave() for worker in self._workers))
        finally:
            await asyncio.gather(*(worker.close() for worker in self._workers))
            self.hangs = await _goes_on(
                lambda: pool.is_busy or any(worker.is_busy for worker in self._workers)
            )
        if self._failure is not None:
            raise self._failure

    async def add(self, app: App, name: str | None = None, voice: Voice | None = None) -> AppWorker:
        """Start a worker of an app; it has a `name` of its own, or one made of chance.

        Once the process stops, a worker that hasn't been started isn't.
        """
        place = Place(
            settings=self._settings,
            metrics=self._metrics,
            figures=self._figures,
            partitions=self._partitions,
            loop=asyncio.get_running_loop(),
            fail=self.fail,
        )
        worker = AppWorker(place, app, name or new_name(), voice or Voice())
        async with self._turn:
            if not self._stopping.is_set():
                self._workers.append(worker)
                await worker.start()
                log.info("Worker is ready", worker=worker.name, app=app.id)
        return worker

    def fail(self, error: BaseException) -> None:
        """Stop all workers in order, and end with this error, if it is the first."""
        self._failure = self._failure or error
        self._stopping.set()

    def _missing_rights(self) -> str | None:
        found = (worker.missing_rights for worker in self._workers)
        return next((missing for missing in found if missing is not None), None)

    def _not_joined(self) -> str | None:
        if not self._has_begun:
            return "the worker starts"
        joined = all(worker.has_joined for worker in self._workers)
        return None if joined else "the group has no place yet"

    def _executing(self) -> list[str]:
        return [what for worker in self._workers for what in worker.executing()]


def new_name() -> str:
    """A name that no other worker ever has; claims and transactions contain it."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return name[-limits.WORKER_CHARS :]


def end_hanging(failure: BaseException | None) -> None:
    """End the process, though user code goes on; nobody else can report the failure then."""
    log.warning("The process ends, though a function or cleanup goes on that can't be interrupted")
    if failure is not None:
        log.error("Stopped by an error", error=str(failure))
    end_now(0 if failure is None else 1)


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
