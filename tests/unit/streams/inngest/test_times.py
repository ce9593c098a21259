"""Durations and instants of Inngest's SDKs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inngest.times import duration_ms, end_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("", 0),
        ("0s", 0),
        ("90s", 90_000),
        ("1d1h1m1s", 90_061_000),
        ("2w", 1_209_600_000),
        ("1.5s", 1_500),
        ("1h2m3.25s", 3_723_250),
        ("1ns", 1),
        ("500µs", 1),
        ("-5m", 0),
    ],
)
def test_units_are_joined(text: str, ms: int) -> None:
    """What is less than a ms is waited for, too."""
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["soon", "5", "1 h", "1h,2m", "1y", "--1s", "1h" * 100, "1.h"])
def test_other_text_is_no_duration(text: str) -> None:
    """Whatever it may mean elsewhere."""
    with pytest.raises(ValueError, match="not a duration"):
        duration_ms(text)


@given(text=st.text(max_size=20), begun=st.integers(0, 2**45))
def test_a_wait_never_ends_before_its_beginning(text: str, begun: int) -> None:
    """Unless it is an instant; any text is read or refused."""
    try:
        end = end_ms(text, begun)
    except ValueError:
        return
    assert end >= begun or "-" in text


def test_a_wait_ends_at_an_instant_or_after_a_duration() -> None:
    """Fractions of instants count, down to the ms."""
    assert end_ms("2026-01-31T12:00:00.5Z", 7) == 1_769_860_800_500
    assert end_ms("1m", 7) == 60_007
