"""The durable order under kill -9: between any two steps nothing is lost, nothing repeated."""

from pathlib import Path

import pytest

from streams.broker import LocalBroker
from streams.kafka.admin import REACH_TIMEOUT_S
from tests.support.deadline import eventually
from tests.support.joining import PATIENCE_S, Joining, ids
from tests.support.services import JOINER, READ_MODEL, ROUTER, Service

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

KILLED = 128 + 9
BEFORE_WORK = (
    "joiner_after_assigned",
    "joiner_after_produce",  # of the barrier
    "joiner_after_restore",
)
AT_WORK = (
    "joiner_before_transaction:2",
    "joiner_after_produce:4",  # two barriers come first
    "joiner_before_commit:4",
    "joiner_after_commit:4",
    "joiner_after_write:2",
)


@pytest.mark.parametrize("steps", [BEFORE_WORK, AT_WORK], ids=["before work", "at work"])
def test_kill_at_each_step(joining: Joining, steps: tuple[str, ...]) -> None:
    """A joiner that dies at a step leaves to the next all that it hadn't done, and only that."""
    joiner = joining.joiner()
    started: list[str] = []
    stopped: list[str] = []
    for number, step in enumerate(steps):
        first, second = ids(f"a{number}-", 300), ids(f"b{number}-", 30)
        joining.feed.start(*first)
        joining.feed.stop(*first[:200])
        joiner.start(crash_at=step)
        assert joiner.wait(PATIENCE_S) == KILLED, step
        joining.feed.start(*second)
        joining.feed.stop(*first[200:250], *second[:10])
        started += [*first, *second]
        stopped += [*first[:250], *second[:10]]
    joiner.start()
    joining.await_applied()
    joining.check(started, stopped)


def test_without_a_broker_a_start_waits(prepared_cache: None, tmp_path: Path) -> None:
    """Kafka may start at the same time, or restart: nobody ends for that."""
    with LocalBroker(tmp_path / "kafka") as broker:
        joining = Joining(broker.bootstrap_servers, "trap", tmp_path)
        broker.kill()
        services = [
            Service(role, joining.settings, tmp_path) for role in (JOINER, READ_MODEL, ROUTER)
        ]
        for one in services:
            one.start()
        # Longer than one question takes that nobody answers; all of them ask at the same time.
        services[0].wait(2 * REACH_TIMEOUT_S)
        assert [one.wait(0) for one in services] == [None] * 3
        broker.start()
        eventually(lambda: all(one.is_ready for one in services), PATIENCE_S)
        assert [one.end() for one in services] == [0, 0, 0]
        joining.close()


def test_without_a_broker_it_ends_when_told_to(prepared_cache: None, tmp_path: Path) -> None:
    """Neither its producers nor Faust wait for a broker that is gone until they are killed."""
    with LocalBroker(tmp_path / "kafka") as broker:
        joining = Joining(broker.bootstrap_servers, "trap", tmp_path)
        joiner = joining.joiner()
        joiner.start()
        eventually(lambda: joiner.is_ready, PATIENCE_S)
        broker.kill()
        assert joiner.end() == 0
        joining.close()
