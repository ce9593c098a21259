"""How often a failing step is tried again, and when."""

from dataclasses import dataclass
from datetime import timedelta

from streams.durations import parse_duration


def milliseconds(duration: str | timedelta) -> int:
    """The ms of a duration such as `90s`, or of a `timedelta`.

    Raises:
        ValueError: It is neither, or not within 1 ms and 366 days.
    """
    if isinstance(duration, str):
        return parse_duration(duration)
    return parse_duration(f"{round(duration / timedelta(milliseconds=1))}ms")


@dataclass(frozen=True, slots=True)
class Retries:
    """How a failing step is tried again.

    Attributes:
        attempts: How often it is tried in all; 1 means never again.
        backoff: How long to wait before the second attempt; twice as long before each further one.
        longest: The longest wait.
        never: Errors after which another attempt makes no sense.
    """

    attempts: int = 4
    backoff: str | timedelta = "1s"
    longest: str | timedelta = "1m"
    never: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: {self.attempts}: at least 1 is needed")
        milliseconds(self.backoff)
        milliseconds(self.longest)

    def again(self, attempt: int, error: BaseException) -> bool:
        """Whether to try again after this many attempts, the last of which failed so."""
        return attempt < self.attempts and not isinstance(error, self.never)

    def wait_ms(self, attempt: int) -> int:
        """How long to wait after this many attempts, in ms."""
        longest = milliseconds(self.longest)
        # Beyond 2^40 it is the longest in any case.
        return int(min(longest, milliseconds(self.backoff) * 2 ** min(attempt - 1, 40)))
