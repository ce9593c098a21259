"""What happens by itself, by the watermark: timeouts, future starts, expiry (S27, S30)."""

import pytest

from tests.support.driver import Driver
from topology import limits
from topology.tables import Space

MINUTE = limits.MINUTE_MS
DAY = limits.DAY_MS
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
    timeouts: {start: 10m, finish: 2h}
"""
PLAIN = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
    pending_for: 10d
    retention: 1d
"""


@pytest.mark.parametrize(("after_ms", "status"), [(0, "scheduled"), (1, "cancelled")])
def test_s27_a_run_that_does_not_start_in_time_is_cancelled(after_ms: int, status: str) -> None:
    """S27: the start timeout counts from receipt and cancels with its own cause, to the ms."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")

    driver.advance(to=run.received + 10 * MINUTE + after_ms)

    assert driver.status(run) == status
    causes = [one["data"]["cause"]["type"] for one in driver.cancellations()]
    assert causes == ["start_timeout"] * after_ms


def test_s27_a_start_in_the_future_delays_dispatch_and_the_timeout() -> None:
    """S27: the start timeout counts from the event's ts where that is later."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", ts=driver.now + 60 * MINUTE, reportId="r1")
    assert driver.run(run)["dispatch"] is False

    driver.advance(to=driver.run(run)["event"]["ts"] + 1)
    assert driver.run(run)["dispatch"] is True
    assert driver.status(run) == "scheduled"
    driver.advance("11m")

    assert driver.cancellation(run)["data"]["cause"]["type"] == "start_timeout"


def test_a_run_can_be_cancelled_before_it_starts() -> None:
    """A run whose ts lies in the future is there to be cancelled, and is never dispatched then."""
    driver = Driver(PLAIN)
    run = driver.event("report/requested", ts=driver.now + 60 * MINUTE, reportId="r1")

    driver.cancel("report/cancelled", reportId="r1")
    driver.advance("2h")

    assert driver.cancelled() == [run.id]
    assert driver.history(run) == ["scheduled", "cancelled"]


def test_an_undispatched_run_can_not_be_claimed() -> None:
    """Before its time a run is nobody's to start."""
    driver = Driver(PLAIN)
    run = driver.event("report/requested", ts=driver.now + 60 * MINUTE, reportId="r1")

    assert driver.claim(run)["status"] == "scheduled"
    assert driver.count("ignored_updates", "not_dispatched") == 1


@pytest.mark.parametrize(("after_ms", "status"), [(0, "running"), (1, "cancelled")])
def test_s27_a_run_that_does_not_finish_in_time_is_cancelled(after_ms: int, status: str) -> None:
    """S27: the finish timeout counts from the first accepted claim."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.advance("9m")
    started = driver.claim(run)["started_at"]

    driver.advance(to=started + 120 * MINUTE + after_ms)

    assert driver.status(run) == status


def test_s27_a_sleep_does_not_stop_the_finish_timeout() -> None:
    """S27: finish counts from the first start, sleeps included."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.claim(run)
    driver.update("sleeping", run, worker="w1", until=driver.now + DAY)

    driver.advance("3h")

    assert driver.cancellation(run)["data"]["cause"]["type"] == "finish_timeout"


def test_s27_nothing_times_out_before_the_backlog_of_an_outage_is_read() -> None:
    """Trap 14: timers wait for the watermark, so a claim made in time counts after an outage."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    with driver.unread():
        driver.wait("5m")
        driver.update("running", driver.run(run), worker="w1")
        driver.wait("1h")
        driver.complete()
        assert driver.status(run) == "scheduled"

    driver.read()
    driver.advance("1m")

    assert driver.history(run) == ["scheduled", "running"]


def test_s27_a_joiner_that_was_down_works_off_its_backlog_before_timers() -> None:
    """Trap 14: the watermark comes with the backlog, behind the claim."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    claimed = driver.run(run)
    with driver.down():
        driver.wait("5m")
        driver.update("running", claimed, worker="w1")
        driver.advance("1h")

    assert driver.history(run) == ["scheduled", "running"]


@pytest.mark.parametrize("prelude", ["nothing", "running"])
def test_s30_an_unfinished_run_expires(prelude: str) -> None:
    """S30: at pending_for after receipt a run is given up, without a cancelled event."""
    driver = Driver(PLAIN)
    run = driver.event("report/requested", reportId="r1")
    if prelude == "running":
        driver.claim(run)

    driver.advance(to=run.received + 10 * DAY)
    assert driver.status(run) in {"scheduled", "running"}
    driver.advance("1ms")

    assert driver.status(run) == "expired"
    assert driver.cancelled() == []


def test_s30_an_ended_run_goes_with_all_its_rows() -> None:
    """S30: after its retention a run leaves a tombstone and no row."""
    driver = Driver(PLAIN)
    run = driver.event("report/requested", reportId="r1")
    driver.advance("3d")
    driver.update("completed", run)
    ended = driver.run(run)["ended_at"]

    driver.advance(to=ended + DAY)
    assert driver.status(run) == "completed"
    driver.advance("1ms")

    assert driver.history(run)[-1] == "removed"
    assert [key for space in b"erlti" for key, _ in driver.rows(bytes([space]))] == []


def test_a_version_of_a_function_goes_with_its_last_run() -> None:
    """A version's row stays while a run needs it, also through a restore, and no longer."""
    driver = Driver(PLAIN, partitions=1)
    first = driver.event("report/requested", reportId="r1")
    driver.apply(PLAIN.replace("10d", "20d"))
    second = driver.event("report/requested", reportId="r2")
    assert len(driver.rows(Space.FUNCTION)) == 2

    for run in (first, second):
        driver.update("completed", run)
    driver.restart()
    driver.advance(to=driver.run(first)["ended_at"] + DAY + 1)

    assert driver.history(first)[-1] == "removed"
    assert len(driver.rows(Space.FUNCTION)) == 1
    driver.advance("1d")

    assert driver.history(second)[-1] == "removed"
    assert driver.rows(Space.FUNCTION) == driver.rows(Space.RUNS_OF_VERSION) == []


def test_a_version_of_a_function_stays_for_its_other_runs() -> None:
    """Of two runs of one version one goes; the other is cancelled by its rules still."""
    driver = Driver(PLAIN, partitions=1)
    gone = driver.event("report/requested", reportId="r1")
    driver.update("completed", gone)
    left = driver.event("report/requested", reportId="r2")
    driver.apply(PLAIN.replace("10d", "20d"))

    driver.advance("2d")
    driver.restart()
    driver.cancel("report/cancelled", reportId="r2")

    assert driver.history(gone)[-1] == "removed"
    assert driver.cancelled() == [left.id]
    assert len(driver.rows(Space.FUNCTION)) == 1


def test_a_source_goes_once_its_topic_has_been_gone_for_long() -> None:
    """Its row is the check for repeats: it stays while a topic of its id is there, however idle."""
    driver = Driver(PLAIN, partitions=1, inputs=({"topic": "orders"},))
    driver.event("report/requested", topic="orders", reportId="r1")
    driver.advance("1h")
    before = len(driver.rows(Space.SOURCE))

    driver.read_no_longer("orders")
    driver.advance("40d")
    driver.advance("2h")
    assert len(driver.rows(Space.SOURCE)) == before

    driver.topics.discard("orders")
    driver.advance("2h")
    assert len(driver.rows(Space.SOURCE)) == before, "one answer may be incomplete"
    driver.advance("2h")
    assert len(driver.rows(Space.SOURCE)) < before


def test_s30_no_run_goes_before_24_hours_after_receipt() -> None:
    """S30: repeats are refused for a day, so the row that refuses them stays so long."""
    driver = Driver(PLAIN)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")

    driver.advance(to=run.received + DAY)

    assert driver.status(run) == "cancelled"
    assert len(driver.rows(Space.EVENT)) == 1


@pytest.mark.parametrize("with_disk", [False, True])
def test_timers_and_cancels_survive_a_restart(
    with_disk: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is derived is restored: a timer fires and a listener listens after a restart."""
    disk = tmp_path_factory.mktemp("state") if with_disk else None
    driver = Driver(FUNCTIONS, disk=disk)
    late, hit = (driver.event("report/requested", reportId=name) for name in ("r1", "r2"))

    driver.restart()
    driver.cancel("report/cancelled", reportId="r2")
    driver.restart()
    driver.advance("11m")
    driver.close()

    assert driver.cancelled() == sorted([late.id, hit.id])


@pytest.mark.parametrize("with_disk", [False, True])
def test_what_waits_for_a_late_time_survives_a_restart(
    with_disk: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of runs that nothing has happened to: one expires, one starts; and a held cancel is met."""
    disk = tmp_path_factory.mktemp("state") if with_disk else None
    driver = Driver(PLAIN, disk=disk)
    left = driver.event("report/requested", reportId="r1")
    planned = driver.event("report/requested", ts=driver.now + DAY, reportId="r2")
    with driver.unread():
        unread = driver.event("report/requested", reportId="r3")
        driver.cancel("report/cancelled", reportId="r3")
    driver.read("cancels")
    assert driver.rows(Space.HELD_CANCEL)
    driver.restart()

    driver.read("events")
    assert driver.cancelled() == [unread.id]
    driver.advance("25h")
    assert driver.run(planned)["dispatch"] is True
    driver.restart()
    driver.advance("10d")
    driver.close()

    assert driver.status(left) == "expired"
