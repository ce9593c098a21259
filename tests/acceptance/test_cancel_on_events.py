"""Cancel on events: which runs (S6 to S8), how often."""

from tests.support.driver import Driver

REPORTS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.reportId}
      - {event: report/cancelled, if: "event.data.user == async.data.user"}
      - {event: maintenance/started, all_runs: true}
"""


def test_s06_one_cancel_event_cancels_every_matching_run() -> None:
    """S6: a matching cancel event cancels every unfinished run that matches."""
    driver = Driver(REPORTS)
    first = driver.event("report/requested", reportId="r1")
    second = driver.event("report/requested", reportId="r1", partition=1)

    driver.cancel("report/cancelled", reportId="r1")

    assert driver.cancelled() == [first.id, second.id]
    assert {driver.status(first), driver.status(second)} == {"cancelled"}


def test_s06_a_rule_over_all_runs_reaches_every_partition() -> None:
    """S6: an unscoped rule that says so cancels every run, wherever its home is."""
    driver = Driver(REPORTS, partitions=7)
    runs = [driver.event("report/requested", reportId=f"r{number}") for number in range(20)]
    assert len({driver.home(run) for run in runs}) > 1

    driver.cancel("maintenance/started")

    assert driver.cancelled() == sorted(run.id for run in runs)


def test_s06_a_condition_may_be_for_every_run() -> None:
    """S6: with `all_runs` beside it; such an event cancels every run if it is true, else none."""
    condition = 'if: "async.data.severity > 3", all_runs: true'
    driver = Driver(REPORTS.replace("all_runs: true", condition), partitions=7)
    runs = [driver.event("report/requested", reportId=f"r{number}") for number in range(20)]

    driver.cancel("maintenance/started", severity=3)
    assert driver.cancelled() == []
    driver.cancel("maintenance/started", severity=4)

    assert driver.cancelled() == sorted(run.id for run in runs)


def test_s06_an_ended_run_is_not_cancelled() -> None:
    """S6: only unfinished runs are cancelled."""
    driver = Driver(REPORTS)
    run = driver.event("report/requested", reportId="r1")
    driver.claim(run)
    driver.update("completed", run)

    driver.cancel("report/cancelled", reportId="r1")

    assert driver.cancelled() == []
    assert driver.status(run) == "completed"


def test_s07_several_rules_and_repeated_cancels_give_one_event() -> None:
    """S7: a run yields one function.cancelled, whatever rules and duplicates there were."""
    driver = Driver(REPORTS)
    driver.event("report/requested", reportId="r1", user="u1")

    cancel = driver.cancel("report/cancelled", reportId="r1", user="u1")
    driver.cancel("report/cancelled", id=cancel.id, reportId="r1", user="u1")
    driver.cancel("maintenance/started")
    driver.advance("1h")

    assert len(driver.cancellations()) == 1


def test_s07_a_router_that_repeats_changes_nothing() -> None:
    """S7: routers may send again what was applied already."""
    driver = Driver(REPORTS)
    driver.event("report/requested", reportId="r1", user="u1")
    driver.cancel("report/cancelled", reportId="r1", user="u1")

    driver.reread("cancels")
    driver.reread("events")

    assert len(driver.cancellations()) == 1
    assert driver.count("repeated_entries") > 0


def test_s07_joiners_that_restart_change_nothing() -> None:
    """S7: a restored joiner knows what it has cancelled."""
    driver = Driver(REPORTS)
    driver.event("report/requested", reportId="r1", user="u1")
    driver.cancel("report/cancelled", reportId="r1", user="u1")

    driver.restart()
    driver.cancel("maintenance/started")

    assert len(driver.cancellations()) == 1


def test_s08_no_other_run_is_cancelled() -> None:
    """S8: runs of other values, other functions and later events stay as they are."""
    other = REPORTS.replace("generate", "archive").replace("report/cancelled", "archive/cancelled")
    driver = Driver(REPORTS + other.replace("functions:\n", ""))
    run = driver.event("report/requested", reportId="r1", user="u1")
    driver.event("report/requested", reportId="r2", user="u2")

    driver.cancel("report/cancelled", reportId="r1", user="u1")
    later = driver.event("report/requested", reportId="r1", user="u1")

    assert driver.cancelled() == [run.id]
    assert driver.run(run, "reports-archive")["status"] == "scheduled"
    assert driver.run(later, "reports-generate")["status"] == "scheduled"
