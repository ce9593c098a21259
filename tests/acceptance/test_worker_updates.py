"""What workers say: moves, claims, leases, ends (S4, S5, the joiner's side of S31)."""

from contextlib import nullcontext
from typing import Any

import pytest

from tests.support.driver import Driver, Sent
from topology.tables import Space

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
    lease: 60s
"""
STATUSES = ("running", "sleeping", "completed", "failed", "stopped")
ENDS = ("completed", "failed")
LEGAL = {
    "scheduled": {"running": "running", "completed": "completed", "failed": "failed"},
    "running": {
        "running": "running",
        "sleeping": "sleeping",
        "completed": "completed",
        "failed": "failed",
    },
    "sleeping": {"completed": "completed", "failed": "failed"},
    "completed": {},
    "failed": {},
    "cancelled": {"stopped": "cancelled"},
}


@pytest.fixture
def driver() -> Driver:
    """A driver with a function whose runs have a lease."""
    return Driver(FUNCTIONS)


def a_run(driver: Driver, status: str = "scheduled") -> Sent:
    """A run in a status."""
    run = driver.event("report/requested", reportId="r1")
    if status != "scheduled":
        driver.claim(run)
    if status == "cancelled":
        driver.cancel("report/cancelled", reportId="r1")
    elif status not in {"scheduled", "running"}:
        _update(driver, status, run)
    assert driver.status(run) == status
    return run


def _update(driver: Driver, status: str, run: Sent) -> None:
    until = {"until": driver.now + 3_600_000} if status == "sleeping" else {}
    driver.update(status, run, worker="w1", **until)


@pytest.mark.parametrize("before", LEGAL)
@pytest.mark.parametrize("status", STATUSES)
def test_s04_only_legal_moves_are_made(driver: Driver, before: str, status: str) -> None:
    """S4: every update that is no legal move is ignored and counted."""
    run = a_run(driver, before)
    sequence = driver.run(run)["seq"]

    _update(driver, status, run)

    assert driver.status(run) == LEGAL[before].get(status, before)
    ignored = sum(
        number
        for one in driver.partitions
        for name, number in one.recorded.counts.items()
        if name[0] == "ignored_updates"
    )
    assert bool(ignored) is (status not in LEGAL[before])
    assert driver.run(run)["seq"] >= sequence


def test_s04_a_sleeping_run_wakes_to_be_dispatched_again(driver: Driver) -> None:
    """S4: sleeping, woken, scheduled: the attempt counts on."""
    run = a_run(driver)
    driver.claim(run)
    driver.update("sleeping", run, worker="w1", until=driver.now + 3_600_000, step="fetched")
    assert driver.run(run)["sleep_until"] == driver.now - 1 + 3_600_000

    driver.advance("2h")

    woken = driver.run(run)
    assert (woken["status"], woken["attempt"], woken["dispatch"]) == ("scheduled", 2, True)
    assert woken["last_step"] == "fetched"
    assert driver.history(run) == ["scheduled", "running", "sleeping", "scheduled"]


def test_s04_a_silent_worker_loses_its_run_to_another(driver: Driver) -> None:
    """S4: when a lease ends the run is dispatched again, and heartbeats keep it."""
    run = a_run(driver, "running")
    driver.advance("50s")
    driver.heartbeat(run)
    driver.advance("50s")
    assert driver.status(run) == "running"

    driver.advance("61s")

    again = driver.claim(run, "w2")
    assert (again["status"], again["attempt"], again["worker"]) == ("running", 2, "w2")


def test_s05_an_ended_run_never_changes(driver: Driver) -> None:
    """S5: a late completed is ignored."""
    run = a_run(driver, "cancelled")

    driver.update("completed", run, worker="w1")

    assert driver.status(run) == "cancelled"
    assert driver.count("ignored_updates", "ended") == 1


def test_s05_a_cancelled_run_stops_when_its_worker_says_so(driver: Driver) -> None:
    """S5: stopped sets stopped_at and nothing else."""
    run = a_run(driver, "cancelled")
    driver.advance("50s")
    driver.heartbeat(run)
    driver.advance("30s")
    assert "stopped_at" not in driver.run(run)

    driver.update("stopped", run, worker="w1", step="second")

    stopped = driver.run(run)
    assert (stopped["status"], stopped["stopped_at"]) == ("cancelled", driver.now)
    assert len(driver.cancellations()) == 1


def test_s05_a_cancelled_run_stops_with_its_lease(driver: Driver) -> None:
    """S5: the lease's end of a cancelled run only says that its worker is gone."""
    run = driver.event("report/requested", reportId="r1")
    claimed = driver.claim(run)
    driver.cancel("report/cancelled", reportId="r1")

    driver.advance("2m")

    assert driver.run(run)["stopped_at"] == claimed["started_at"] + 60_000
    assert driver.history(run) == ["scheduled", "running", "cancelled", "cancelled"]


@pytest.mark.parametrize("end", ENDS)
def test_s05_an_ended_run_has_no_lease(driver: Driver, end: str) -> None:
    """S5: nothing happens to a completed run when its lease would have ended."""
    run = a_run(driver, end)

    driver.advance("10m")

    assert driver.history(run) == ["scheduled", "running", end]


def test_s31_one_worker_gets_the_run(driver: Driver) -> None:
    """S31: of two claims of one attempt the first is accepted, the other answered by `runs`."""
    run = a_run(driver)

    driver.claim(run, "w1")
    refused = driver.claim(run, "w2")

    assert (refused["status"], refused["worker"]) == ("running", "w1")
    assert driver.count("ignored_updates", "claimed") == 1
    assert driver.history(run) == ["scheduled", "running", "running"]


def test_s31_a_cancelled_run_never_starts(driver: Driver) -> None:
    """S31: the claim of a cancelled run is refused, and its record sent again."""
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")

    refused = driver.claim(run)

    assert (refused["status"], refused["dispatch"]) == ("cancelled", False)
    assert "started_at" not in refused


@pytest.mark.parametrize("delay_ms", [0, 3_600_000])
def test_what_is_told_once_more_is_no_change(driver: Driver, delay_ms: int) -> None:
    """Readers that count changes know a repeat by its status before, also of a first record."""
    run = driver.event("report/requested", reportId="r1", ts=driver.now + delay_ms)
    first = driver.run(run)
    driver.update("running", first, worker="w1", attempt=first["attempt"] + 1)
    again = driver.run(run)
    assert "status_before" not in first
    assert again == first | {"status_before": "scheduled"}


def test_s31_updates_of_another_attempt_are_ignored(driver: Driver) -> None:
    """S31: a stalled worker's late completed doesn't end attempt 2 (trap 22)."""
    run = a_run(driver, "running")
    stale = driver.run(run)
    driver.advance("2m")
    driver.claim(run, "w2")

    driver.update("completed", stale, worker="w1", attempt=stale["attempt"])

    assert driver.status(run) == "running"
    assert driver.count("ignored_updates", "wrong_attempt") == 1


def test_an_update_by_event_id_reaches_the_newest_unfinished_run(driver: Driver) -> None:
    """Workers that know only the event may say how its run ended."""
    run = a_run(driver)

    driver.update("completed", function_id="reports-generate", event_id=run.id)

    assert driver.status(run) == "completed"


@pytest.mark.parametrize("at_once", [False, True])
def test_an_update_by_event_id_passes_over_ended_runs(at_once: bool) -> None:
    """Of an event id's runs the newest unfinished one is meant, also within one transaction."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread() if at_once else nullcontext():
        for report in "abc":
            driver.event("report/requested", id="e1", reportId=report)
        driver.cancel("report/cancelled", reportId="b")
        for status in ("completed", "failed", "completed"):
            driver.update(status, function_id="reports-generate", event_id="e1")
    for topic in ("events", "cancels", "run-updates"):
        driver.read(topic)

    found = {run["event"]["data"]["reportId"]: run["status"] for run in driver.runs()}
    assert found == {"c": "completed", "b": "cancelled", "a": "failed"}
    assert driver.count("ignored_updates", "ended") == 1


def test_an_update_by_event_id_reaches_a_replay() -> None:
    """A replay is the newest run of its event, and is known for as long as it is there."""
    driver = Driver(FUNCTIONS, partitions=1)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    driver.advance("6d")
    body: dict[str, Any] = {"from": 0, "to": driver.now, "statuses": ["cancelled"]}
    driver.request("replay", function_id="reports-generate", **body)
    driver.advance("2d")
    [replay] = driver.runs(run)

    for _ in range(2):
        driver.update("completed", function_id="reports-generate", event_id=run.id)

    assert replay["replay_of"]
    assert driver.run(replay)["status"] == "completed"
    assert driver.count("ignored_updates", "ended") == 1


def test_an_update_by_event_id_waits_for_its_run(driver: Driver) -> None:
    """An update that is read before its event's registration is held for it."""
    with driver.unread():
        run = driver.event("report/requested", reportId="r1")
        driver.update("failed", function_id="reports-generate", event_id=run.id)
    driver.read("run-updates")
    driver.read("events")

    assert driver.status(run) == "failed"


def test_an_update_by_an_unknown_event_id_goes_with_the_watermark(driver: Driver) -> None:
    """An update whose event never started a run is ignored and counted once it can't any more."""
    driver.update("completed", function_id="reports-generate", event_id="nobody")
    assert driver.rows(Space.HELD_UPDATE)

    driver.advance("1s")

    assert driver.rows(Space.HELD_UPDATE) == []
    assert driver.count("ignored_updates", "unknown_event") == len(driver.partitions)


def test_s05_a_held_update_does_not_revive_a_run_that_a_held_cancel_ended(driver: Driver) -> None:
    """S5: a cancel and an update that both came before the run: the cancel holds."""
    with driver.unread():
        run = driver.event("report/requested", reportId="r1")
        driver.update("running", function_id="reports-generate", event_id=run.id)
        driver.cancel("report/cancelled", reportId="r1")
    driver.read("run-updates")
    driver.read("cancels")
    driver.read("events")

    assert driver.history(run)[:2] == ["scheduled", "cancelled"]
    assert set(driver.history(run)) == {"scheduled", "cancelled"}


def test_a_sleep_beyond_pending_for_is_refused(driver: Driver) -> None:
    """A run can't sleep past the time at which it is given up."""
    run = a_run(driver, "running")

    driver.update("sleeping", run, worker="w1", until=driver.now + 31 * 86_400_000)

    assert driver.status(run) == "running"
    assert driver.count("ignored_updates", "sleeps_too_long") == 1


def test_story_a_run_that_sleeps_a_week_is_cancelled_on_day_three(driver: Driver) -> None:
    """A sleeping run is as good to cancel as any, and never wakes."""
    run = driver.event("report/requested", reportId="r1")
    driver.claim(run)
    driver.update("sleeping", run, worker="w1", until=driver.now + 7 * 86_400_000)
    driver.advance("3d")

    driver.cancel("report/cancelled", reportId="r1")
    driver.advance("5d")

    assert driver.cancellation(run)["data"]["run"]["status_before"] == "sleeping"
    assert driver.history(run) == ["scheduled", "running", "sleeping", "cancelled"]


def test_story_a_cancel_arrives_while_step_2_of_3_executes(driver: Driver) -> None:
    """The cancel commits at once; the worker learns it, ends its step and says stopped."""
    run = driver.event("report/requested", reportId="r1")
    driver.claim(run, step="one")
    driver.cancel("report/cancelled", reportId="r1")
    cancelled = driver.cancellation(run)["data"]["run"]
    assert (cancelled["status_before"], cancelled["last_step"]) == ("running", "one")

    driver.heartbeat(run)
    driver.update("stopped", run, worker="w1", step="two")
    driver.advance("1h")

    end = driver.run(run)
    assert (end["status"], end["last_step"]) == ("cancelled", "two")
    assert "stopped_at" in end
    assert driver.history(run) == ["scheduled", "running", "cancelled", "cancelled"]
