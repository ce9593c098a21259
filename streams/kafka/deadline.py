"""How long the questions of one call may take, all together."""

import math
import time
from typing import Final

from streams.errors import UnreachableError

TIMEOUT_S: Final = 15.0
# A process that starts gives the brokers so long to answer, and asks them again after each pause.
START_S: Final = 60.0
PAUSE_S: Final = 1.0


class Deadline:
    """A moment from which on nothing more is asked, and no answer is waited for."""

    def __init__(self, within_s: float = math.inf) -> None:
        """The moment comes in so many seconds."""
        self._within_s = within_s
        self._end = time.monotonic() + within_s

    @property
    def left_s(self) -> float:
        """How many seconds are left; 0 or less: none."""
        return self._end - time.monotonic()

    def seconds(self, most: float = TIMEOUT_S) -> float:
        """For how long to wait for one answer.

        Raises:
            UnreachableError: no time is left.
        """
        left_s = self.left_s
        if left_s <= 0:
            raise UnreachableError(f"Kafka doesn't answer within {self._within_s:.0f} s: try again")
        return min(most, left_s)


NEVER: Final = Deadline()
"""The deadline of who waits for each answer as long as it takes, or times out."""
