"""The patterns of `matches`: RE2's, which take linear time whatever they are.

What RE2 keeps of a pattern grows with the texts that it reads, up to a limit that each pattern has.
Most need little; the few large ones have more, and fewer of them are kept, so that all together
stay below `limits.PATTERNS_BYTES`.
"""

from functools import lru_cache
from typing import Protocol, cast

import re2

from streams.matching import budget, limits
from streams.matching.budget import Meter


class Pattern(Protocol):
    """A compiled pattern of re2, which ships no types."""

    programsize: int

    def search(self, text: str) -> object | None:
        """Find the pattern anywhere in a text."""


def compiled(pattern: str) -> Pattern:
    """Compile a pattern.

    Raises:
        ValueError: RE2 refuses the pattern; the message says why.
    """
    return _small(pattern) or _large(pattern)


def occurs(text: str, pattern: str) -> bool:
    """Say whether the pattern occurs anywhere in the text: CEL's `matches`."""
    return bool(compiled(pattern).search(text))


def price(text: str, pattern: str) -> float:
    """What this weighs in the units of `budget`: at worst RE2 tries its whole program per char."""
    small = _small(pattern)
    size = (small or _large(pattern)).programsize
    made = 0 if small else size * budget.PATTERN_MADE
    return budget.PATTERN + made + size * len(text) * budget.PATTERN_CHAR


def occurs_given(text: str, pattern: str, meter: Meter) -> bool:
    """Like `occurs`, for a pattern that comes with an event.

    Raises:
        ValueError: RE2 refuses the pattern, or it is too large.
        BudgetError: It takes more than the meter allows.
    """
    matcher = _given(pattern, meter)
    meter.charge(budget.PATTERN + matcher.programsize * len(text) * budget.GIVEN_PATTERN_CHAR)
    return bool(matcher.search(text))


def _given(pattern: str, meter: Meter) -> Pattern:
    """Compile a pattern of an event, which is charged whether it is kept from before or not.

    An evaluation that uses one pattern again and again has it from its meter.
    """
    if meter.given is not None and meter.given[0] == pattern:
        return cast("Pattern", meter.given[1])
    if len(pattern) > limits.GIVEN_PATTERN_CHARS:
        raise ValueError(f"a pattern with over {limits.GIVEN_PATTERN_CHARS} characters")
    classes = pattern.count("\\p") + pattern.count("\\P")
    meter.charge(len(pattern) * budget.GIVEN_PATTERN_READ + classes * budget.GIVEN_PATTERN_CLASS)
    for most_bytes in limits.GIVEN_PATTERN_BYTES:  # it takes as long as it may take memory
        meter.charge(most_bytes * budget.GIVEN_PATTERN_BYTE)
        matcher = _within(pattern, most_bytes)
        if matcher is not None:
            meter.given = (pattern, matcher)
            return matcher
    raise ValueError("not a pattern of RE2, or one that is too large")


@lru_cache(maxsize=limits.SMALL_PATTERNS)
def _small(pattern: str) -> Pattern | None:
    """Compile a pattern if it is small."""
    try:
        return _compile(pattern, limits.SMALL_PATTERN_BYTES)
    except ValueError:
        return None


@lru_cache(maxsize=limits.LARGE_PATTERNS)
def _large(pattern: str) -> Pattern:
    return _compile(pattern, limits.LARGE_PATTERN_BYTES)


@lru_cache(maxsize=limits.GIVEN_PATTERNS)
def _within(pattern: str, most_bytes: int) -> Pattern | None:
    """Compile a pattern of an event, which must not take the place of the rules' own."""
    try:
        return _compile(pattern, most_bytes)
    except ValueError:
        return None


def _compile(pattern: str, most_bytes: int) -> Pattern:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = most_bytes
    options.never_capture = True
    try:
        matcher: Pattern = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "malformed"
        shown = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not a pattern of RE2: {shown}") from None
    finally:
        re2.purge()  # it would keep as many again
    return matcher
