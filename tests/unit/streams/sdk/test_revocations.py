"""What a view of revocations keeps, for how long, and which questions it refuses."""

from datetime import timedelta

import pytest

from streams.sdk.revocations import RevocationView, _Keys
from streams.settings import load
from topology import limits

HOUR = limits.HOUR_MS
NOW = 1_000_000 * HOUR


def key(number: int) -> bytes:
    """A key of 16 bytes."""
    return number.to_bytes(16, "big")


def test_keys_are_forgotten_when_they_are_old() -> None:
    """Whatever the order in which they came; none before its time, all soon after it."""
    known = _Keys(64 * HOUR)
    for number in (3, 0, 2, 1):
        known.add(key(number), NOW + number * HOUR)
    for number in range(4):
        known.forget(NOW + number * HOUR)
        assert [key(one) in known for one in range(4)] == [one >= number for one in range(4)]
    known.forget(NOW + 4 * HOUR)
    assert len(known) == 0


def test_a_key_that_comes_again_stays_for_longer() -> None:
    """The latest time counts, whichever came first, and nothing is left in the end."""
    known = _Keys(64 * HOUR)
    for number, times in enumerate([(0, 5), (5, 0), (0, 5, 3), (5, 5)]):
        for at in times:
            known.add(key(number), NOW + at * HOUR)
    known.forget(NOW + 5 * HOUR)
    assert len(known) == 4
    known.forget(NOW + 6 * HOUR)
    assert len(known) == 0
    assert known._members == {}


@pytest.mark.parametrize(
    ("since", "ms"), [("90s", 90_000), ("7d", 7 * limits.DAY_MS), (timedelta(hours=2), 2 * HOUR)]
)
def test_how_far_back_may_be_said_as_text_or_timedelta(since: str | timedelta, ms: int) -> None:
    """Both mean the same."""
    assert RevocationView(load(), since=since)._since_ms == ms


@pytest.mark.parametrize("since", ["soon", "0s", timedelta(0), timedelta(hours=-1)])
def test_no_view_goes_back_by_nothing(since: str | timedelta) -> None:
    """A view that would know of nothing is refused when it is made."""
    with pytest.raises(ValueError, match=r"duration|more than 0"):
        RevocationView(load(), since=since)


def test_a_view_that_is_not_entered_answers_nothing() -> None:
    """Nobody takes its ignorance for an answer."""
    view = RevocationView(load())
    with pytest.raises(RuntimeError, match="`with` block"):
        view.is_cancelled(function_id="a", event_id="b")
    view.stop()
