"""The patterns of `matches`: RE2's, which take linear time whatever they are.

What RE2 keeps of a pattern grows with the texts that it reads, up to a limit that each pattern has.
Most need little; the few large ones have more, and fewer of them are kept, so that all together
stay below `limits.PATTERNS_BYTES`.
"""

from functools import lru_cache
from typing import Protocol

import re2

from streams.matching import budget, limits


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


def _compile(pattern: str, most_bytes: int) -> Pattern:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = most_bytes
    options.never_capture = True
    try:
        matcher: Pattern = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "malformed"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    finally:
        re2.purge()  # it would keep as many again
    return matcher
