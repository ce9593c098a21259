"""Slows down who tries keys: the more wrong ones, the later the answer. A right key never waits.

So nobody keeps others out, neither who knows the id of a key, nor who shares a proxy with them.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_FORGOTTEN_S: Final = 300.0
_FREE: Final = 3
_STEP_S: Final = 0.5
LONGEST_S: Final = 8.0
_REMEMBERED: Final = 10_000


class Guesses:
    """Wrong keys by the id that they name, and by the peer that they came from."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

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
