"""The threads that read and write Kafka for a worker."""

import asyncio
import threading
from collections.abc import Callable


class Threads:
    """Threads by name; what a thread or a task fails with is told on the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fail: Callable[[BaseException], None]
    ) -> None:
        self._loop = loop
        self._fail = fail
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

    def look_at(self, task: asyncio.Task[None]) -> None:
        """Tell of the error with which a task of the loop ended, if it did."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _run(self, work: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  # it ends the process, in order
            self._loop.call_soon_threadsafe(self._fail, error)
