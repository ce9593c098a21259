"""How fast a cancellation or a replay goes, and how long it will still take."""

from dataclasses import dataclass
from typing import Final

from streams.dashboard.words import seconds_between

_UNDER_WAY: Final = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class Pace:
    """How a request gets on.

    Attributes:
        done: How many runs it has dealt with.
        total: How many there will be, as far as is known.
        per_second: How many it deals with in a second; None once it is over, or before it begins.
        left_s: About how many seconds are left; None where nobody can tell.
    """

    done: int
    total: int | None
    per_second: float | None
    left_s: float | None


def pace(status: str, done: int, total: int | None, began: str, now: str) -> Pace:
    """The pace of a request that began at `began`, seen at `now`; both are instants of the API."""
    elapsed = seconds_between(began, now)
    if status not in _UNDER_WAY or not done or elapsed <= 0:
        return Pace(done, total, None, None)
    per_second = done / elapsed
    left_s = None if total is None else max(total - done, 0) / per_second
    return Pace(done, total, per_second, left_s)


def is_under_way(status: str) -> bool:
    """Whether a request may still change anything."""
    return status in _UNDER_WAY
