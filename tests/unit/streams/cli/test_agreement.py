"""Whether to go ahead with many runs, for every combination of flags and terminal."""

import pytest
import typer

from streams.cli.agreement import Agreement, Decision, agree
from streams.errors import RefusedError

GO_AHEAD, ASK, REFUSE = Decision.GO_AHEAD, Decision.ASK, Decision.REFUSE


@pytest.mark.parametrize(
    ("agreement", "count", "terminal", "expected"),
    [
        (Agreement(), 1, True, ASK),
        (Agreement(), 1, False, REFUSE),
        (Agreement(yes=True), 1_000_000, True, GO_AHEAD),
        (Agreement(yes=True), 1_000_000, False, GO_AHEAD),
        (Agreement(at_most=10), 10, False, GO_AHEAD),
        (Agreement(at_most=10), 11, False, REFUSE),
        (Agreement(at_most=10), 10, True, GO_AHEAD),
        # A bound is a bound: a terminal is no way around it.
        (Agreement(at_most=10), 11, True, REFUSE),
        (Agreement(at_most=0), 1, False, REFUSE),
    ],
)
def test_what_is_decided(
    agreement: Agreement, count: int, terminal: bool, expected: Decision
) -> None:
    """Flags decide first, then whether there is somebody to ask."""
    assert agreement.decide(count, terminal=terminal) is expected


def test_two_ways_to_agree_are_wrong_use() -> None:
    """Nobody knows which of the two would hold."""
    with pytest.raises(typer.BadParameter, match="not both"):
        Agreement(yes=True, at_most=10)


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (Agreement(), "12,000 runs match, and there is no terminal to ask: add --yes"),
        (Agreement(at_most=10), "12,000 runs match, more than --confirm-at-most 10 allows"),
    ],
)
def test_a_refusal_says_what_to_do(agreement: Agreement, words: str) -> None:
    """It has the count, and the flag (tests have no terminal)."""
    with pytest.raises(RefusedError, match=words):
        agree(agreement, 12_000, "Cancel?")
