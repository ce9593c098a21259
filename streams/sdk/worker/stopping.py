"""How a worker is told to stop: by one signal in order, and by a second one at once.

Signals are handled between two instructions of the main thread, and not by the event loop: a
coroutine that blocks the loop can't keep them from being heard.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from streams import logs

# The command line's code for "interrupted".
INTERRUPTED: Final = 130
log = logs.get(__name__)


def obey_signals(
    stop: Callable[[], object], most_s: float, executing: Callable[[], object]
) -> None:
    """Call `stop` at the first SIGTERM or SIGINT; at the second, the process ends at once.

    So it does `most_s` seconds after the first one, if it hasn't ended in order by then; what
    `executing` returns is logged. To be called in the main thread.
    """
    told = threading.Event()

    def too_late() -> None:
        log.error("The worker can't end in order, so it ends now", executing=executing())
        end_now(0)

    def heard(_number: int, _frame: FrameType | None) -> None:
        if told.is_set():
            end_now(INTERRUPTED)
        told.set()
        stop()
        timer = threading.Timer(most_s, too_late)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)


def end_now(code: int) -> None:
    """End the process without waiting for threads that can't be interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
