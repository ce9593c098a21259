"""A request is followed to its end, through interruptions and an API that is away."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.cli.following import follow
from streams.errors import UnreachableError

COUNTS = {"scanned": 0, "matched": 0, "cancelled": 0}


def found(status: str, **counts: int) -> dict[str, Any]:
    """A cancellation as the API shows it."""
    return {"status": status, "dry_run": False, "counts": COUNTS | counts}


def fetching(*answers: dict[str, Any] | BaseException) -> Callable[[], dict[str, Any]]:
    """What gives these answers, one after the other."""
    left: Iterator[dict[str, Any] | BaseException] = iter(answers)

    def fetch() -> dict[str, Any]:
        answer = next(left)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return fetch


@pytest.mark.parametrize("status", ["done", "stopped", "failed"])
def test_it_ends_when_the_request_is_over(status: str) -> None:
    """However it ended."""
    fetch = fetching(found("queued"), found("running", scanned=5), found(status, scanned=9))
    assert follow(fetch, "cancelling", total=9) == found(status, scanned=9)


def test_an_api_that_is_away_for_a_moment_is_borne_with() -> None:
    """It may be restarted meanwhile; the request goes on without it."""
    fetch = fetching(found("running"), UnreachableError("away"), found("done"))
    assert follow(fetch, "cancelling")["status"] == "done"


def test_an_interruption_may_go_on() -> None:
    """Where whoever was asked says so, the following goes on to the end."""
    asked: list[str] = []
    fetch = fetching(KeyboardInterrupt(), found("running"), found("stopped"))
    ended = follow(fetch, "cancelling", interrupted=lambda: asked.append("once"))
    assert (ended["status"], asked) == ("stopped", ["once"])


def test_an_interruption_ends_it_otherwise() -> None:
    """Nobody else is asked."""
    with pytest.raises(KeyboardInterrupt):
        follow(fetching(KeyboardInterrupt()), "replaying")
