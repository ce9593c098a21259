"""The threads in which functions, their steps and cleanups are called."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A pool that knows whether a call goes on: Python would wait for that call at its exit."""

    def __init__(self, most: int | None, name: str) -> None:
        """At most `most` threads (None: as the pool's default), whose names begin with `name`."""
        super().__init__(most, thread_name_prefix=name)
        self._calls: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread."""
        future = super().submit(fn, *args, **kwargs)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    @property
    def is_busy(self) -> bool:
        """Whether a call goes on."""
        return any(call.running() for call in list(self._calls))

    def close(self) -> None:
        """Begin no more calls; those under way can't be interrupted."""
        self.shutdown(wait=False, cancel_futures=True)
