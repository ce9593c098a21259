"""Functions that are paused and resumed (S28)."""

import pytest

from tests.support.driver import Driver
from topology.tables import Space

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
"""
SLUG = "reports-generate"


def pause(driver: Driver, running: str = "later", after: int = 7 * 86_400_000) -> str:
    """Pause the function."""
    return driver.request("pause", function_id=SLUG, running=running, after=after)


def resume(driver: Driver) -> None:
    """Resume the function."""
    driver.request("resume", function_id=SLUG)


def test_s28_a_run_received_while_paused_is_kept_back_then_skipped() -> None:
    """S28: it is registered undispatched, and skipped once the watermark has passed it."""
    driver = Driver(FUNCTIONS)
    pause(driver)
    run = driver.event("report/requested", reportId="r1")
    assert (driver.status(run), driver.run(run)["dispatch"]) == ("scheduled", False)
    driver.update("running", run, worker="w1")
    assert driver.status(run) == "scheduled"

    driver.advance("1s")

    assert driver.status(run) == "skipped"
    assert driver.cancellations() == []


def test_s28_a_run_received_after_the_resume_starts() -> None:
    """S28: whatever is processed first."""
    driver = Driver(FUNCTIONS)
    pause(driver)
    skipped = driver.event("report/requested", reportId="r1")
    with driver.unread():
        resume(driver)
        started = driver.event("report/requested", reportId="r2")
        driver.read("events")
        assert driver.run(started)["dispatch"] is False
        driver.read()
    driver.advance("1s")
    assert (driver.status(skipped), driver.status(started)) == ("skipped", "scheduled")
    assert driver.run(started)["dispatch"] is True
    assert driver.claim(started)["status"] == "running"


def test_s28_a_resume_does_not_bring_back_what_was_received_before() -> None:
    """S28: a run received while paused is skipped, though it is registered after the resume."""
    driver = Driver(FUNCTIONS)
    pause(driver)
    with driver.unread():
        late = driver.event("report/requested", reportId="r1", partition=1)
        resume(driver)
        driver.read("requests")
    driver.read()
    driver.advance("1s")
    assert driver.status(late) == "skipped"


def test_s28_a_dispatched_run_that_nobody_started_is_called_back() -> None:
    """S28: one received after the pause, but registered before it; a started one is unfinished."""
    driver = Driver(FUNCTIONS)
    with driver.unread():
        pause(driver)
        waiting = driver.event("report/requested", reportId="r1")
        started = driver.event("report/requested", reportId="r2")
        driver.read("events")
        driver.claim(started)
        driver.read("run-updates")
        driver.read("requests")
    assert driver.run(waiting)["dispatch"] is False
    driver.advance("1s")
    assert (driver.status(waiting), driver.status(started)) == ("skipped", "running")


@pytest.mark.parametrize(
    ("running", "statuses"),
    [
        ("now", ["cancelled", "cancelled", "cancelled"]),
        ("later", ["scheduled", "cancelled", "cancelled"]),
        ("never", ["scheduled", "scheduled", "scheduled"]),
    ],
)
def test_s28_unfinished_runs_are_cancelled_now_later_or_never(
    running: str, statuses: list[str]
) -> None:
    """S28: at once, when the watermark has passed the pause by `after`, or not at all."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    request = pause(driver, running, 60_000)
    seen = [driver.status(run)]
    driver.advance("61s")
    seen.append(driver.status(run))
    driver.advance("1h")
    seen.append(driver.status(run))
    assert seen == statuses
    causes = [one["data"]["cause"]["type"] for one in driver.cancellations()]
    assert causes == ["pause"] * (running != "never")
    assert driver.progress(request)["states"] == ["done"]


def test_s28_a_late_registration_received_before_the_pause_is_unfinished_too() -> None:
    """S28: with `now` it is cancelled when it is registered."""
    driver = Driver(FUNCTIONS)
    with driver.unread():
        late = driver.event("report/requested", reportId="r1", partition=1)
        pause(driver, "now")
        driver.read("requests")
    driver.read()
    assert driver.status(late) == "cancelled"


def test_s28_resume_undoes_what_has_not_happened_yet() -> None:
    """S28: unfinished runs that were to be cancelled later go on."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    request = pause(driver, "later", 60_000)
    driver.advance("30s")
    resume(driver)
    driver.advance("1h")
    assert driver.status(run) == "scheduled"
    assert driver.progress(request)["states"] == ["stopped"]
    new = driver.event("report/requested", reportId="r2")
    assert driver.run(new)["dispatch"] is True


def test_s28_a_second_pause_replaces_the_plan_of_the_first() -> None:
    """S28: whoever pauses again decides what becomes of unfinished runs; one resume ends both."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    pause(driver, "later", 60_000)
    between = driver.event("report/requested", reportId="r2")
    pause(driver, "never")
    driver.advance("1h")
    assert (driver.status(run), driver.status(between)) == ("scheduled", "skipped")
    resume(driver)
    assert driver.run(driver.event("report/requested", reportId="r3"))["dispatch"] is True


def test_s28_a_plan_that_was_replaced_stays_stopped() -> None:
    """S28: though the first pause still goes through the runs that it keeps back."""
    driver = Driver(FUNCTIONS, partitions=1)
    for number in range(3):
        driver.event("report/requested", reportId=f"r{number}")
    with driver.down(), driver.unread():
        first = pause(driver, "later", 60_000)
        second = pause(driver, "now")
        driver.read()
    driver.advance("1h")
    assert driver.progress(first)["states"] == ["stopped"]
    assert driver.progress(second)["cancelled"] == 3


def test_s28_a_paused_function_survives_a_crash() -> None:
    """S28: pauses are rows like others."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r0")
    pause(driver, "later", 60_000)
    driver.restart()
    kept = driver.event("report/requested", reportId="r1")
    driver.restart()
    driver.advance("61s")
    assert (driver.status(run), driver.status(kept)) == ("cancelled", "skipped")


def test_s28_a_start_in_the_future_is_skipped_by_its_receipt() -> None:
    """S28: a run that waits for its ts was received when it was; others of that time go on."""
    driver = Driver(FUNCTIONS)
    before = driver.event("report/requested", ts=driver.now + 3_600_000, reportId="r1")
    pause(driver, "never")
    after = driver.event("report/requested", ts=driver.now + 3_600_000, reportId="r2")
    driver.advance("2h")
    assert (driver.status(before), driver.status(after)) == ("scheduled", "skipped")
    assert driver.run(before)["dispatch"] is True


def test_a_pause_leaves_nothing_behind() -> None:
    """A day after the resume nothing is kept of either."""
    driver = Driver(FUNCTIONS)
    pause(driver)
    resume(driver)
    driver.advance("1s")
    driver.advance("25h")
    assert driver.rows(Space.REQUEST) == []
