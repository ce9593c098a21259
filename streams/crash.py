"""Steps at which tests kill the process, to show that a crash there loses and repeats nothing."""

import os
import signal
from typing import Final

VARIABLE: Final = "COUNTERMAND_CRASH_AT"

_at: Final = os.environ.get(VARIABLE, "")


def crash_at(step: str) -> None:
    """Die as by `kill -9` where the environment names this step; else nothing happens."""
    if step == _at:
        os.kill(os.getpid(), signal.SIGKILL)
