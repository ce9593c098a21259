"""Times as people type them."""

import pytest
import typer

from streams.cli.times import duration_of, instant_of

NOW = "2026-01-31T12:00:00.250Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T13:00:00.5+01:00", "2026-01-31T12:00:00.500Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2h", "2026-01-31T10:00:00.250Z"),
        ("250ms", "2026-01-31T12:00:00Z"),
        ("7d", "2026-01-24T12:00:00.250Z"),
    ],
)
def test_an_instant_or_a_duration_ago(text: str | None, expected: str | None) -> None:
    """Both become the same RFC 3339 text in UTC; a duration counts back from the API's now."""
    assert instant_of("--after", text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31T12:00:00", "2026-01-31", "-2h", ""])
def test_what_is_neither_is_wrong_use(text: str) -> None:
    """An instant without a zone could mean several times."""
    with pytest.raises(typer.BadParameter, match="a duration ago, such as") as caught:
        instant_of("--after", text, NOW)
    assert caught.value.param_hint == "--after"


def test_a_duration_is_checked_before_it_is_sent() -> None:
    """It goes to the API as it was typed."""
    assert duration_of("--spread", "10m") == "10m"
    assert duration_of("--spread", None) is None
    with pytest.raises(typer.BadParameter, match="not a duration"):
        duration_of("--spread", "ten")
