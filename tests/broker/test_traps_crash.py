"""The durable order under kill -9: between any two steps nothing is lost, nothing repeated."""

import pytest

from tests.support.joining import PATIENCE_S, Joining, ids

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

KILLED = 128 + 9


@pytest.mark.parametrize(
    "step",
    [
        "joiner_after_assigned",
        "joiner_after_produce",  # of the barrier
        "joiner_after_restore",
        "joiner_before_transaction:2",
        "joiner_after_produce:4",  # two barriers come first
        "joiner_before_commit:4",
        "joiner_after_commit:4",
        "joiner_after_write:2",
    ],
)
def test_kill_at_a_step(joining: Joining, step: str) -> None:
    """A joiner that dies at a step leaves to the next all that it hadn't done, and only that."""
    first, second = ids("a", 300), ids("b", 30)
    joining.feed.start(*first)
    joining.feed.stop(*first[:200])
    joiner = joining.joiner()
    joiner.start(crash_at=step)
    assert joiner.wait(PATIENCE_S) == KILLED
    joining.feed.start(*second)
    joining.feed.stop(*first[200:250], *second[:10])
    joiner.start()
    joining.await_applied()
    joining.check([*first, *second], [*first[:250], *second[:10]])
