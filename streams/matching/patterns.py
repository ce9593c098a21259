"""Regular expressions of `matches`: RE2, which takes linear time for any pattern."""

from functools import lru_cache
from typing import Any

import re2

from streams.matching import limits


@lru_cache(maxsize=limits.CACHED_EXPRESSIONS)
def compiled(pattern: str) -> Any:  # noqa: ANN401 (re2 has no types)
    """Compile a pattern; ValueError where RE2 refuses it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "malformed"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None


def found(text: str, pattern: str) -> bool:
    """Say whether the pattern occurs anywhere in the text, as CEL's `matches` asks."""
    return bool(compiled(pattern).search(text))
