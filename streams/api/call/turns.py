"""Turns of reads that may be slow: two at a time, so that every other call finds a free thread."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from streams.api.problems import caller_gone, unavailable

T = TypeVar("T")

AT_ONCE: Final = 2
# Less than clients wait for an answer; the command line waits for 20 s.
WAIT_S: Final = 15.0


class Turns:
    """Threads of their own for so many reads; who finds none free waits in order, without one."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        """A turn comes within `wait_s` seconds, or not at all."""
        self._free = asyncio.Semaphore(at_once)
        self._threads = CapacityLimiter(at_once)
        self._wait_s = wait_s

    async def take(self, request: Request, read: Callable[[], T]) -> T:
        """The result of a read, which waits for its turn.

        Raises:
            ProblemError: 503, its turn didn't come in time; or its caller went meanwhile, and
                nothing is read for nobody.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            detail = f"Other searches took longer than {self._wait_s:.0f} s: try again"
            raise unavailable("searches_busy", detail) from None
        try:
            if await request.is_disconnected():
                raise caller_gone()
            return await to_thread.run_sync(read, limiter=self._threads)
        finally:
            self._free.release()
