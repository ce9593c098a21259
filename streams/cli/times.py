"""Times on the command line: RFC 3339 with a zone, or a duration ago."""

import typer

from streams.clock import now_ms
from streams.durations import format_instant, parse_duration, parse_instant


def instant_of(flag: str, text: str | None, now: str | None = None) -> str | None:
    """A flag's time as RFC 3339 text in UTC; None where the flag isn't given.

    Args:
        flag: The flag's name, for the error.
        text: An instant with a zone, or a duration such as `2h`, which counts back from now.
        now: Now, as the API says; by this machine's clock if it is None.

    Raises:
        BadParameter: The text is neither.
    """
    if text is None:
        return None
    try:
        ago = parse_duration(text)
    except ValueError:
        return format_instant(_instant(flag, text))
    return format_instant((now_ms() if now is None else parse_instant(now)) - ago)


def _instant(flag: str, text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        message = f"{error}; or a duration ago, such as 90s, 10m, 2h, 7d"
        raise typer.BadParameter(message, param_hint=flag) from None


def duration_of(flag: str, text: str | None) -> str | None:
    """A flag's duration, checked; None where the flag isn't given.

    Raises:
        BadParameter: The text is no duration.
    """
    if text is None:
        return None
    try:
        parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from None
    return text
