"""How far a request is, from what its partitions told."""

import pytest

from streams.api.progress import State, overall

Q, R, D, S, F = State.QUEUED, State.RUNNING, State.DONE, State.STOPPED, State.FAILED


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], Q),
        ([Q, Q], Q),
        ([Q, R], R),
        ([R], R),
        ([D], R),
        ([D, D], D),
        ([D, R], R),
        ([D, Q], R),
        ([S], S),
        ([S, D], S),
        ([S, R], R),
        ([S, S], S),
        ([F, D], F),
        ([F, R], R),
        ([F, S], F),
    ],
)
def test_the_whole_from_its_parts(states: list[State], expected: State) -> None:
    """Queued until somebody began, running until all are done, stopped if one was."""
    assert overall(states, 2) is expected
