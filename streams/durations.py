"""Durations and instants as people write them.

A duration is one number and one unit. The packages for it (`durationpy`, `pytimeparse`) also accept
`1h x 5m`, fractions and months.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from topology import limits

_UNITS: Final = {
    "d": limits.DAY_MS,
    "h": limits.HOUR_MS,
    "m": limits.MINUTE_MS,
    "s": limits.SECOND_MS,
    "ms": 1,
}
_DURATION: Final = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The first ms of the year 1, and the last of the year 9999.
_FIRST_MS: Final = -62_135_596_800_000
_LAST_MS: Final = 253_402_300_799_999
_RFC_3339: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<minute>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?"
    r"(?:[Zz]|(?P<sign>[-+])(?P<hours>[01][0-9]|2[0-3]):?(?P<minutes>[0-5][0-9]))"
)
_LEAP: Final = "60"
_DAY_S: Final = 86_400


def parse_duration(text: str, longest_ms: int = limits.LONGEST_MS) -> int:
    """Give the ms of a duration such as `90s`, `10m`, `24h` or `7d`.

    Raises:
        ValueError: The text is no duration, or not within 1 ms and the longest one.
    """
    duration_ms = _product(text)
    if not 0 < duration_ms <= longest_ms:
        raise ValueError(f"must be more than 0 and at most {format_duration(longest_ms)}")
    return duration_ms


def parse_wait(text: str) -> int:
    """Give the ms to wait for a duration; 0 for zero or less, such as `0s` or `-5m`.

    Raises:
        ValueError: The text is no duration, or longer than the longest one.
    """
    if _product(text.removeprefix("-")) == 0 or text.startswith("-"):
        return 0
    return parse_duration(text)


def format_duration(duration_ms: int) -> str:
    """Give the shortest text that `parse_duration` reads as this many ms."""
    unit = next(unit for unit, size in _UNITS.items() if duration_ms % size == 0)
    return f"{duration_ms // _UNITS[unit]}{unit}"


def parse_instant(text: str) -> int:
    """Give the ms since 1970 of an RFC 3339 instant such as `2026-01-31T12:00:00Z`.

    Raises:
        ValueError: The text is no such instant, has no offset from UTC, or is before 1970.
    """
    instant_ms = parse_rfc_3339(text) // 1_000_000
    if instant_ms <= 0:
        raise ValueError("an instant before 1970 can't be meant")
    return instant_ms


def parse_rfc_3339(text: str) -> int:
    """Give the ns since 1970 of RFC 3339 text.

    Its T and Z may be small, its T a space, and its offset without a colon, as `date +%z` has it.
    A leap second, 23:59:60 in UTC, is the second before it.

    Raises:
        ValueError: The text isn't RFC 3339, or there is no such day or time.
    """
    match = _RFC_3339.fullmatch(text)
    since_ns = None if match is None else _since_1970_ns(match)
    if since_ns is None:
        message = "not an RFC 3339 instant with an offset from UTC, such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return since_ns


def _since_1970_ns(match: re.Match[str]) -> int | None:
    is_leap = match["second"] == _LEAP
    second = "59" if is_leap else match["second"]
    try:
        local = datetime.fromisoformat(f"{match['date']}T{match['minute']}:{second}+00:00")
    except ValueError:
        return None
    # By integers: with doubles some results would be off.
    seconds = (local - _EPOCH) // timedelta(seconds=1)
    if match["sign"]:
        offset = int(match["hours"]) * 3_600 + int(match["minutes"]) * 60
        seconds -= offset if match["sign"] == "+" else -offset
    if is_leap and seconds % _DAY_S != _DAY_S - 1:
        return None
    return seconds * 10**9 + int(f"{match['fraction'] or '':0<9.9}")


def format_instant(instant_ms: int) -> str:
    """Give the RFC 3339 text, in UTC, of an instant in ms since 1970.

    RFC 3339 has the years 0 to 9999, and records have others too: such an instant is given as the
    first or last ms that a `datetime` has.
    """
    shown_ms = min(max(instant_ms, _FIRST_MS), _LAST_MS)
    instant = _EPOCH + timedelta(milliseconds=shown_ms)
    spec = "milliseconds" if shown_ms % limits.SECOND_MS else "seconds"
    return instant.isoformat(timespec=spec).replace("+00:00", "Z")


def _product(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("not a duration: write one number and one unit, such as 90s, 10m, 24h, 7d")
    return int(match[1]) * _UNITS[match[2]]
