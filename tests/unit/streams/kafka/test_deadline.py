"""The time that the questions of one call have together."""

import pytest

from streams.errors import UnreachableError
from streams.kafka.deadline import NEVER, TIMEOUT_S, Deadline


def test_no_answer_is_waited_for_once_the_time_is_over() -> None:
    """The next question isn't asked."""
    with pytest.raises(UnreachableError, match="within 0 s"):
        Deadline(0).seconds()


def test_one_answer_gets_what_is_left_at_most() -> None:
    """And no longer than one question may take."""
    deadline = Deadline(10)
    assert 0 < deadline.seconds() <= 10
    assert deadline.seconds(2) == 2
    assert NEVER.seconds() == TIMEOUT_S
