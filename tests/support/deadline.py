"""Wait for what another process does, without guessing how long it takes."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")

_POLL_S = 0.02


def eventually(look: Callable[[], T], within_s: float = 90.0, every_s: float = _POLL_S) -> T:
    """Look again and again until the answer is truthy; fail if none is in time.

    What is waited for must come and stay, whatever else happens: never a state that passes, nor a
    line of a log that chance may leave out. The deadline is for what is broken, not what is slow.
    """
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {look}"
        pause.wait(every_s)
    return found


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that nobody has reaped yet has ended too."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
