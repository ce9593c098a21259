"""Slows down who tries keys: the more wrong ones, the later the answer. A right key never waits.

So nobody keeps others out, neither who knows the id of a key, nor who shares a proxy with them.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from streams.api.problems import ProblemError

_FORGOTTEN_S: Final = 300.0
_FREE: Final = 3
_STEP_S: Final = 0.5
LONGEST_S: Final = 8.0
_REMEMBERED: Final = 10_000
# At most so many wrong keys wait for their answers at once.
WAITING: Final = 50


class Guesses:
    """Wrong keys by the id that they name, and by the peer that they came from."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._waiting = asyncio.Semaphore(WAITING)

    async def hold(self, *names: str) -> None:
        """Let the answer to a wrong key wait for as long as it has to.

        Raises:
            ProblemError: 429; too many wait already.
        """
        delay = self.wrong(*names)
        if not delay:
            return
        if self._waiting.locked():
            detail = "Too many wrong keys were tried: try again in a minute"
            status = HTTPStatus.TOO_MANY_REQUESTS
            headers = {"Retry-After": "60"}
            raise ProblemError(status, "too_many_guesses", detail, headers=headers)
        async with self._waiting:
            await asyncio.sleep(delay)

    def wrong(self, *names: str) -> float:
        """Note a wrong key; for how many seconds its answer has to wait."""
        return max(self._delay(name) for name in names)

    def _delay(self, name: str) -> float:
        now = self._monotonic()
        at, count = self._wrong.pop(name, (now, 0))
        count = 1 if now - at > _FORGOTTEN_S else count + 1
        self._wrong[name] = (now, count)
        if len(self._wrong) > _REMEMBERED:
            self._wrong.popitem(last=False)
        return min(max(count - _FREE, 0) * _STEP_S, LONGEST_S)
