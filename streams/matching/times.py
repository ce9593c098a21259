"""CEL's timestamps and durations, counted in nanoseconds.

celpy's own have microseconds: they drop what is smaller, let sums leave their ranges, and make
Python's `timedelta` of a difference, which equals no duration.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from streams.durations import parse_rfc_3339
from streams.matching import limits

_SECOND: Final = 10**9
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The first and the last nanosecond of the years 1 to 9999.
_FIRST: Final = -62_135_596_800 * _SECOND
_LAST: Final = 253_402_300_800 * _SECOND - 1
# 64 bits, as the specification has it: some 292 years.
_INT64: Final = 2**63

_UNITS: Final = {
    "ns": 1,
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), 1_000),
    "ms": 10**6,
    "s": _SECOND,
    "m": _MINUTE,
    "h": _HOUR,
}
_PART: Final = rf"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:{'|'.join(_UNITS)})"
_DURATION: Final = re.compile(rf"[-+]?(?:0|(?:{_PART})+)")
_PARTS: Final = re.compile(rf"([0-9]*)\.?([0-9]*)({'|'.join(_UNITS)})")
# CEL takes RFC 3339 without the variants that `parse_rfc_3339` knows.
_TIMESTAMP: Final = re.compile(r"[-0-9]{10}T[0-9:.]+(?:Z|[-+][0-9]{2}:[0-9]{2})")
# No zone has half of that; looking for longer ones takes its time.
_ZONE_CHARS: Final = 64
_OFFSET: Final = re.compile(r"([-+]?)([0-9]{1,2}):([0-5][0-9])")


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant of the years 1 to 9999: `ns` since 1970."""

    ns: int

    def __post_init__(self) -> None:
        if not _FIRST <= self.ns <= _LAST:
            raise ValueError("a timestamp beyond the years 1 to 9999")

    def __str__(self) -> str:
        """RFC 3339 in UTC, with as many digits of a fraction as it has."""
        seconds, ns = divmod(self.ns, _SECOND)
        whole = (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
        return f"{whole}{_fraction(ns)}Z"


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A duration of up to some 292 years: its `ns`, negative for one that goes back."""

    ns: int

    def __post_init__(self) -> None:
        if not -_INT64 <= self.ns < _INT64:
            raise ValueError("a duration beyond 64 bits of nanoseconds")

    def __str__(self) -> str:
        """Seconds, with as many digits of a fraction as it has."""
        seconds, ns = divmod(abs(self.ns), _SECOND)
        return f"{'-' if self.ns < 0 else ''}{seconds}{_fraction(ns)}s"


Time: TypeAlias = Timestamp | Duration


def _fraction(ns: int) -> str:
    return f".{ns:09}".rstrip("0") if ns else ""


def timestamp_of(text: str) -> Timestamp:
    """Read RFC 3339.

    Raises:
        ValueError: It is no such text, or beyond the range.
    """
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError("not RFC 3339")
    return Timestamp(parse_rfc_3339(text))


def is_duration(text: str) -> bool:
    """Whether a text is written as a duration, of whatever length: `1h30m`, `-1.5s`, `0`."""
    return len(text) <= limits.DURATION_CHARS and _DURATION.fullmatch(text) is not None


def duration_of(text: str) -> Duration:
    """Read numbers with units; what is less than a nanosecond is dropped.

    Raises:
        ValueError: It is no such text, or beyond the range.
    """
    if not is_duration(text):
        raise ValueError("not a duration")
    total = 0
    for whole, fraction, unit in _PARTS.findall(text):
        number = int(f"0{whole}{fraction}")
        total += number * _UNITS[unit] // 10 ** len(fraction)
    return Duration(-total if text.startswith("-") else total)


def add(left: object, right: object) -> Time | None:
    """Add two durations, or a duration to a timestamp; None for anything else.

    Raises:
        ValueError: The sum is beyond the range.
    """
    match left, right:
        case Duration(one), Duration(other):
            return Duration(one + other)
        case (Timestamp(one), Duration(other)) | (Duration(one), Timestamp(other)):
            return Timestamp(one + other)
    return None


def subtract(left: object, right: object) -> Time | None:
    """Subtract a duration, or give what lies between two timestamps; None for anything else.

    Raises:
        ValueError: The difference is beyond the range.
    """
    match left, right:
        case (Timestamp(one), Timestamp(other)) | (Duration(one), Duration(other)):
            return Duration(one - other)
        case Timestamp(one), Duration(other):
            return Timestamp(one - other)
    return None


def field_of_timestamp(name: str, timestamp: Timestamp, zone: str = "") -> int:
    """Answer `timestamp.getHours("Europe/Paris")` and its like; in UTC without a zone.

    Raises:
        KeyError, OSError, ValueError: There is no such zone.
        OverflowError: It is a day before the year 1 or after 9999 there.
    """
    at = _EPOCH + timedelta(microseconds=timestamp.ns // 1_000)
    return _FIELDS[name](at.astimezone(_zone(zone)) if zone else at)


def _zone(name: str) -> tzinfo:
    """Look up a zone by its name, or by its offset from UTC, where the sign may be missing."""
    if len(name) > _ZONE_CHARS:
        raise ValueError("no zone has such a long name")
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return ZoneInfo(name)
    ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return timezone(-ahead if offset[1] == "-" else ahead)


def part_of_duration(name: str, duration: Duration) -> int:
    """Answer `duration.getHours()` and its like: all of it in that unit, towards zero.

    `getMilliseconds` alone is what is left beside the seconds.

    Raises:
        KeyError: Durations don't have it.
    """
    unit = _PARTS_OF_DURATIONS[name]
    size = abs(duration.ns)
    if name == "getMilliseconds":
        size %= _SECOND
    return size // unit if duration.ns >= 0 else -(size // unit)


_FIELDS: Final[dict[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
    "getMilliseconds": lambda at: at.microsecond // 1_000,
}
_PARTS_OF_DURATIONS: Final = {
    "getHours": _HOUR,
    "getMinutes": _MINUTE,
    "getSeconds": _SECOND,
    "getMilliseconds": 10**6,
}
METHODS: Final = tuple(_FIELDS)
