"""The patterns of `matches`: RE2's, which take linear time whatever they are."""

from functools import lru_cache
from typing import Protocol

import re2

from streams.matching import limits


class Pattern(Protocol):
    """A compiled pattern of re2, which ships no types."""

    def search(self, text: str) -> object | None:
        """Find the pattern anywhere in a text."""


@lru_cache(maxsize=limits.CACHED_EXPRESSIONS)
def compiled(pattern: str) -> Pattern:
    """Compile a pattern.

    Raises:
        ValueError: RE2 refuses the pattern; the message says why.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        matcher: Pattern = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "malformed"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    return matcher


def occurs(text: str, pattern: str) -> bool:
    """Say whether the pattern occurs anywhere in the text: CEL's `matches`."""
    return bool(compiled(pattern).search(text))
