"""Health: live says whether a restart would help, ready whether work is done."""

import orjson
import pytest

from streams.health import Health, Kind, StallCheck, health_page


class Clock:
    """Seconds that move when told to."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at zero."""
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> StallCheck:
    """A check of what may stand still for 60 s."""
    return StallCheck(60, clock)


def test_a_process_without_checks_is_well() -> None:
    """Nothing is wrong where nothing is asked."""
    assert health_page(Health(), "live") == (200, b'{"status":"ok","checks":{}}')


def test_the_body_names_the_failing_check() -> None:
    """Whoever reads the answer sees which check failed, and why."""
    health = Health()
    health.add(Kind.READY, "broker", lambda: None)
    health.add(Kind.READY, "partitions", lambda: "none assigned")
    status, body = health_page(health, "ready")
    assert status == 503
    assert orjson.loads(body) == {
        "status": "failing",
        "checks": {"broker": "ok", "partitions": "none assigned"},
    }
    assert health_page(health, "live")[0] == 200


def test_a_check_that_raises_has_failed() -> None:
    """A broken check fails its own name; the page is still served."""

    def broken() -> str | None:
        raise ZeroDivisionError("oh")

    health = Health()
    health.add(Kind.LIVE, "broken", broken)
    answer = health.answer(Kind.LIVE)
    assert answer.failing == {"broken": "ZeroDivisionError: oh"}


def test_standing_still_under_lag_fails_after_the_time(progress: StallCheck, clock: Clock) -> None:
    """Only lag without progress for longer than allowed is a reason to restart."""
    progress.seen("commands/0", 5, lag=10)
    clock.now = 60
    progress.seen("commands/0", 5, lag=10)
    assert progress() is None
    clock.now = 61
    assert progress() == "commands/0 stands still at 5 under lag for 61 s"


@pytest.mark.parametrize(("position", "lag"), [(6, 10), (5, 0)])
def test_progress_or_no_lag_is_well(
    progress: StallCheck, clock: Clock, position: int, lag: int
) -> None:
    """A busy partition moves, an idle one has nothing to do."""
    progress.seen("commands/0", 5, lag=10)
    progress.seen("commands/0", 5, lag=10)
    progress.seen("commands/0", position, lag=lag)
    clock.now = 100
    assert progress() is None


def test_one_stuck_partition_is_seen_beside_a_busy_one(progress: StallCheck, clock: Clock) -> None:
    """The others' progress doesn't hide it."""
    for step in range(70):
        clock.now = step
        progress.seen("commands/0", 5, lag=1)
        progress.seen("commands/1", step, lag=1)
    failing = progress()
    assert failing is not None
    assert failing.startswith("commands/0")
    progress.forget("commands/0")
    assert progress() is None


def test_a_rebalance_does_not_fail_live(progress: StallCheck, clock: Clock) -> None:
    """Standing still in a rebalance or a restore is right, and the time starts anew after it."""
    progress.seen("commands/0", 5, lag=10)
    progress.seen("commands/0", 5, lag=10)
    progress.pause()
    clock.now = 500
    progress.seen("commands/0", 5, lag=10)
    assert progress() is None
    progress.resume()
    progress.seen("commands/0", 5, lag=10)
    clock.now = 550
    assert progress() is None
    clock.now = 561
    assert progress() is not None
