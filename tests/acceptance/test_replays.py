"""Runs that are replayed (S29)."""

from typing import Any

from tests.support.driver import Driver, Sent

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
  - id: audit
    app: reports
    triggers: [{event: report/requested}]
"""
SLUG = "reports-generate"


def replay(driver: Driver, **body: Any) -> str:
    """Replay the cancelled runs of the function so far, or what the body says."""
    whole: dict[str, Any] = {"from": 0, "to": driver.now + 1, "statuses": ["cancelled"]}
    return driver.request("replay", function_id=SLUG, **whole | body)


def replays(driver: Driver, event: Sent) -> list[Any]:
    """The runs of the function that replayed an event's run."""
    return [run for run in driver.runs(event, SLUG) if "replay_of" in run]


def original(driver: Driver, event: Sent) -> Any:
    """The run of the function that the event itself started."""
    [found] = [run for run in driver.runs(event, SLUG) if "replay_of" not in run]
    return found


def test_s29_replayed_runs_are_fresh_and_linked() -> None:
    """S29: a new run of that function alone, with the event, the original and the replay's id."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1", pages=3)
    other = driver.event("report/requested", reportId="r2")
    driver.cancel("report/cancelled", reportId="r1")

    request = replay(driver)

    [again] = replays(driver, run)
    first = original(driver, run)
    assert again["run_id"] != first["run_id"]
    assert (again["replay_of"], again["replay_id"]) == (first["run_id"], request)
    assert again["event"] == first["event"]
    assert (again["status"], again["dispatch"], again["attempt"]) == ("scheduled", True, 1)
    assert replays(driver, other) == []
    assert len(driver.runs(run, "reports-audit")) == 1
    assert driver.claim(again)["status"] == "running"
    progress = driver.progress(request)
    assert (progress["states"], progress["matched"], progress["replayed"]) == (["done"], 1, 1)


def test_s29_by_statuses_and_range() -> None:
    """S29: cancelled, skipped and failed runs, strictly between the bounds."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}") for n in range(4)]
    for run in runs:
        first = original(driver, run)
        driver.update("running", first, worker="w1")
    driver.update("failed", original(driver, runs[1]), error={"name": "E", "message": "no"})
    driver.cancel("report/cancelled", reportId="r2")
    driver.cancel("report/cancelled", reportId="r3")
    driver.update("completed", original(driver, runs[0]))

    replay(
        driver,
        statuses=["cancelled", "failed"],
        **{"from": runs[0].received, "to": runs[3].received},
    )

    assert [len(replays(driver, run)) for run in runs] == [0, 1, 1, 0]


def test_s29_exactly_the_runs_of_one_cancellation() -> None:
    """S29: undo of one cancellation leaves what others have cancelled."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}") for n in range(4)]
    driver.cancel("report/cancelled", reportId="r0")
    cancellation = driver.cancel_runs(SLUG, if_="event.data.reportId < 'r2'")
    driver.cancel_runs(SLUG)

    request = replay(driver, cancellation_id=cancellation)

    assert [len(replays(driver, run)) for run in runs] == [0, 1, 0, 0]
    assert driver.progress(request)["replayed"] == 1


def test_s29_one_run_alone() -> None:
    """S29: a run is replayed without those that were received in the same millisecond."""
    driver = Driver(FUNCTIONS)
    now = driver.now + 10
    runs = [driver.event("report/requested", at=now, reportId=f"r{n}") for n in range(3)]
    driver.cancel_runs(SLUG)

    request = replay(driver, run_id=original(driver, runs[1])["run_id"])

    assert [len(replays(driver, run)) for run in runs] == [0, 1, 0]
    assert driver.progress(request)["replayed"] == 1


def test_s29_a_dry_run_counts() -> None:
    """S29: the count is known before anything starts."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    progress = driver.progress(replay(driver, dry_run=True))
    assert (progress["matched"], progress["replayed"]) == (1, 0)
    assert progress["sample"] == [original(driver, run)["run_id"]]
    assert replays(driver, run) == []


def test_s29_each_original_once_per_replay() -> None:
    """S29: whatever is repeated: the request, the routers' reading, crashes in between."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    request = replay(driver)
    replay(driver, request_id=request)
    driver.restart()
    for partition in range(len(driver.partitions)):
        driver.reread("replayed", partition)
    assert len(replays(driver, run)) == 1
    replay(driver)
    assert len(replays(driver, run)) == 2


def test_s29_spreading_delays_dispatch_alone() -> None:
    """S29: runs are there at once, can be cancelled, and are dispatched over the time."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}") for n in range(8)]
    for number in range(8):
        driver.cancel("report/cancelled", reportId=f"r{number}")
    begin = driver.now
    replay(driver, spread=3_600_000)
    again = [replays(driver, run)[0] for run in runs]
    assert {run["dispatch"] for run in again} == {False}
    driver.advance(to=begin + 1_800_000)
    dispatched = sum(replays(driver, run)[0]["dispatch"] for run in runs)
    assert 0 < dispatched < len(runs)
    driver.advance(to=begin + 3_700_000)
    assert {replays(driver, run)[0]["dispatch"] for run in runs} == {True}


def test_s29_a_replayed_run_can_be_cancelled_again() -> None:
    """S29: it waits under the same keys as its original did."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    replay(driver)
    driver.cancel("report/cancelled", reportId="r1")
    assert replays(driver, run)[0]["status"] == "cancelled"


def test_s29_replays_are_no_repeats_and_make_none() -> None:
    """S3: a replay registers a second run of one event id; a repeated event still does not."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", id="e", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    replay(driver)
    driver.event("report/requested", id="e", reportId="r1")
    assert len(driver.runs(run, SLUG)) == 2
    assert driver.count("repeated_events") == 2  # one per function


def test_s29_a_function_that_is_gone_runs_no_more() -> None:
    """S29: a replay is routed by the version of its own time."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel("report/cancelled", reportId="r1")
    driver.apply(
        "functions: [{id: generate, app: reports, triggers: [{event: report/wanted}], "
        "cancel_on: [{event: report/dropped, match: data.reportId}]}]"
    )
    replay(driver)
    [again] = replays(driver, run)
    driver.cancel("report/dropped", reportId="r1")
    assert driver.run(again)["status"] == "cancelled"
    assert again["function_version"] > original(driver, run)["function_version"]
