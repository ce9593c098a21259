"""The wall clock: code that tests or simulations control takes a `Clock` instead of reading it."""

from collections.abc import Callable
from time import time
from typing import TypeAlias

# Gives ms since 1970-01-01 UTC.
Clock: TypeAlias = Callable[[], int]


def now_ms() -> int:
    """The wall-clock time in ms since 1970-01-01 UTC."""
    return int(time() * 1000)
