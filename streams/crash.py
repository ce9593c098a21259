"""Steps at which tests kill the process, to show that a crash there loses and repeats nothing."""

import os
import signal
from itertools import count
from typing import Final

VARIABLE: Final = "COUNTERMAND_CRASH_AT"

# `step`, or `step:3` for the third time that the process comes by.
_step, _, _time = os.environ.get(VARIABLE, "").partition(":")
_times: Final = count(1)


def crash_at(step: str) -> None:
    """Die as by `kill -9` where the environment names this step; else nothing happens."""
    if step == _step and next(_times) == int(_time or 1):
        os.kill(os.getpid(), signal.SIGKILL)
