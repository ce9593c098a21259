"""Durations and instants as Inngest's SDKs write them.

Theirs join several units, have weeks and, from Go, fractions, a sign, and units down to ns.
"""

import re
from fractions import Fraction
from typing import Final

from streams.durations import parse_rfc_3339
from topology import limits

_UNITS_NS: Final = {
    "w": 7 * limits.DAY_MS * 1_000_000,
    "d": limits.DAY_MS * 1_000_000,
    "h": limits.HOUR_MS * 1_000_000,
    "m": limits.MINUTE_MS * 1_000_000,
    "s": limits.SECOND_MS * 1_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_PART: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|us|µs|ns|[wdhms])")
_DURATION: Final = re.compile(rf"-?(?:{_PART.pattern})+")
_CHARS: Final = 100


def duration_ms(text: str) -> int:
    """Give the ms of a duration such as `1d2h`, rounded up; 0 for empty text, zero or less.

    Raises:
        ValueError: The text is no duration.
    """
    if not text:
        return 0
    if len(text) > _CHARS or _DURATION.fullmatch(text) is None:
        raise ValueError(f"not a duration such as 90s or 1d2h: {text[:_CHARS]!r}")
    if text.startswith("-"):
        return 0
    parts = (Fraction(number) * _UNITS_NS[unit] for number, unit in _PART.findall(text))
    return -int(-sum(parts) // 1_000_000)


def end_ms(text: str, begun_ms: int) -> int:
    """When a wait ends (ms): an instant, or a duration after its beginning.

    Raises:
        ValueError: The text is neither.
    """
    try:
        return parse_rfc_3339(text) // 1_000_000
    except ValueError:
        return begun_ms + duration_ms(text)
