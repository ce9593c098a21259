"""How often, and after how long."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sdk import Retries
from streams.sdk.retries import milliseconds
from topology import limits

durations = st.integers(1, limits.LONGEST_MS)


@given(backoff=durations, longest=durations, attempt=st.integers(1, 10_000))
def test_each_wait_doubles_up_to_the_longest(backoff: int, longest: int, attempt: int) -> None:
    """Never beyond it, however many attempts there were."""
    retries = Retries(backoff=f"{backoff}ms", longest=timedelta(milliseconds=longest))
    wait = retries.wait_ms(attempt)
    assert wait == min(longest, backoff * 2 ** (attempt - 1))
    assert retries.wait_ms(attempt + 1) == min(longest, 2 * backoff * 2 ** (attempt - 1))


@given(attempts=st.integers(1, 100), attempt=st.integers(1, 200))
def test_there_are_as_many_attempts_as_allowed(attempts: int, attempt: int) -> None:
    """And no more."""
    assert Retries(attempts=attempts).again(attempt, OSError()) is (attempt < attempts)


@pytest.mark.parametrize(
    ("error", "again"),
    [(ValueError(), False), (UnicodeError(), False), (OSError(), True), (SystemExit(), True)],
)
def test_some_errors_are_final(error: BaseException, again: bool) -> None:
    """Those that `never` names, and what derives from them."""
    assert Retries(never=(ValueError,)).again(1, error) is again


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 0}, {"attempts": -1}, {"backoff": "soon"}, {"backoff": "0s"},
        {"longest": timedelta(0)}, {"longest": timedelta(days=367)}, {"backoff": timedelta(-1)},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_retries_are_refused_when_they_are_made(fields: dict[str, object]) -> None:
    """Not when the first step fails."""
    with pytest.raises(ValueError, match=r"at least 1|not a duration|more than 0"):
        Retries(**fields)  # type: ignore[arg-type]


def test_a_duration_is_text_or_timedelta() -> None:
    """Fractions of a ms are rounded."""
    assert milliseconds("90s") == milliseconds(timedelta(seconds=90)) == 90_000
    assert milliseconds(timedelta(microseconds=1_600)) == 2
