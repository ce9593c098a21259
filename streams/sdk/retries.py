"""How often a failing step is tried again, and when."""

from dataclasses import dataclass
from datetime import timedelta

from streams.durations import parse_duration


def milliseconds(duration: str | timedelta) -> int:
    """A duration in ms: of text such as `90s`, or of a `timedelta`.

    Raises:
        ValueError: The text isn't a duration, or the duration isn't within 1 ms and 366 days.
    """
    return parse_duration(duration if isinstance(duration, str) else written(duration))


def written(duration: timedelta) -> str:
    """A `timedelta` as text, to the ms: `1500ms`."""
    return f"{round(duration / timedelta(milliseconds=1))}ms"


@dataclass(frozen=True, slots=True)
class Retries:
    """How a failing step is tried again.

    Attributes:
        attempts: How often the step is tried in all; 1 means that it isn't tried again.
        backoff: The wait before the second attempt; the wait doubles before each further attempt.
        longest: The longest wait.
        never: Classes of errors after which the step isn't tried again.
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
        """Whether to try again after `attempt` attempts, the last of which raised `error`."""
        return attempt < self.attempts and not isinstance(error, self.never)

    def wait_ms(self, attempt: int) -> int:
        """How long to wait after `attempt` attempts, in ms."""
        longest = milliseconds(self.longest)
        # The exponent is bounded: the wait is the longest long before 2^40.
        return int(min(longest, milliseconds(self.backoff) * 2 ** min(attempt - 1, 40)))
