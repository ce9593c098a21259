"""Cancellations of many runs, and of one (S18 to S26)."""

from typing import Any

import pytest

from streams.errors import FencedError
from tests.support.driver import Driver
from topology import keys, limits
from topology.tables import Space

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
  - id: other
    app: reports
    triggers: [{event: other/requested}]
"""
SLUG = "reports-generate"


def test_s18_every_unfinished_run_strictly_between_the_bounds_is_cancelled() -> None:
    """S18: both bounds are exclusive, ended runs stay as they are."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}") for n in range(6)]
    done = driver.event("report/requested", reportId="done")
    driver.claim(done)
    driver.update("completed", done)
    last = driver.event("report/requested", reportId="last")

    cancellation = driver.cancel_runs(SLUG, after=runs[1].received, before=last.received)

    assert driver.cancelled() == sorted(run.id for run in runs[2:])
    assert driver.status(done) == "completed"
    driver.advance("1s")
    progress = driver.progress(cancellation)
    assert progress["states"] == ["done"]
    assert progress["partitions"] == len(driver.partitions)
    counts = {name: progress[name] for name in ("scanned", "matched", "cancelled", "already_ended")}
    assert counts == {"scanned": 5, "matched": 4, "cancelled": 4, "already_ended": 1}


def test_s18_the_condition_is_over_the_trigger_event() -> None:
    """S18: only runs for which `if` is true are cancelled; the cause says who, why and by what."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}", pages=n) for n in range(4)]

    cancellation = driver.cancel_runs(SLUG, if_="event.data.pages >= 2", reason="too long")

    assert driver.cancelled() == sorted(run.id for run in runs[2:])
    cause = driver.cancellation(runs[2])["data"]["cause"]
    assert cause == {
        "type": "cancellation",
        "event": None,
        "rule": None,
        "cancellation_id": cancellation,
        "reason": "too long",
        "requested_by": "tester",
    }
    assert driver.run(runs[2])["cancellation_id"] == cancellation


def test_s18_a_bound_in_the_future_is_clipped() -> None:
    """S18: runs received more than 5 s after the request are not cancelled."""
    driver = Driver(FUNCTIONS)
    driver.cancel_runs(SLUG, before=driver.now + limits.HOUR_MS)
    soon = driver.event("report/requested", at=driver.now + 4_000, reportId="soon")
    late = driver.event("report/requested", at=driver.now + 2_000, reportId="late")
    assert (driver.status(soon), driver.status(late)) == ("cancelled", "scheduled")


def test_s19_a_run_registered_later_is_cancelled_too() -> None:
    """S19: what was received in the range counts, whenever it is processed."""
    driver = Driver(FUNCTIONS)
    early = driver.event("report/requested", reportId="early")
    with driver.unread():
        late = driver.event("report/requested", reportId="late", partition=1)
        cancellation = driver.cancel_runs(SLUG)
        driver.read("requests")
    assert driver.cancelled() == [early.id]
    assert driver.progress(cancellation)["states"] == ["running"]

    driver.read()

    assert driver.cancelled() == sorted([early.id, late.id])
    driver.advance("1s")
    progress = driver.progress(cancellation)
    assert (progress["states"], progress["cancelled"]) == (["done"], 2)


def test_s20_other_runs_and_new_ones_are_untouched() -> None:
    """S20: another function's runs, and runs received afterwards, go on."""
    driver = Driver(FUNCTIONS)
    other = driver.event("other/requested")
    driver.event("report/requested", reportId="r1")
    driver.cancel_runs(SLUG)
    new = driver.event("report/requested", reportId="r1")
    assert (driver.status(other), driver.status(new)) == ("scheduled", "scheduled")


def test_s21_progress_survives_crashes() -> None:
    """S21, S24: slices go on where they were, and count nothing twice."""
    driver = Driver(FUNCTIONS, partitions=1)
    number = 3 * limits.SLICE_DECISIONS + 7
    with driver.unread():
        for one in range(number):
            driver.event("report/requested", reportId=f"r{one}")
        driver.read()
    with driver.down(), driver.unread():
        cancellation = driver.cancel_runs(SLUG)
        driver.read()
        _die_after(driver, 3)
        assert 0 < len(driver.cancelled()) < number
    driver.advance("1s")
    progress = driver.progress(cancellation)
    assert (progress["cancelled"], progress["scanned"]) == (number, number)
    assert len(driver.cancelled()) == number


def _die_after(driver: Driver, transactions: int) -> None:
    """Let the joiner commit so often, and die before it writes the last of it to its disk."""
    [partition] = driver.partitions
    commit = partition.transactions.commit
    numbers = iter(range(1, transactions + 1))

    def committed(*parts: Any) -> Any:
        offset = commit(*parts)
        if next(numbers) == transactions:
            raise FencedError("killed")
        return offset

    partition.transactions.commit = committed
    with pytest.raises(FencedError):
        partition.work()
    partition.begin()


def test_s22_a_stopped_cancellation_cancels_nothing_more() -> None:
    """S22: what is cancelled stays cancelled, late registrations go on."""
    driver = Driver(FUNCTIONS)
    early = driver.event("report/requested", reportId="early")
    with driver.unread():
        late = driver.event("report/requested", reportId="late", partition=1)
        cancellation = driver.cancel_runs(SLUG)
        driver.read("requests")
        driver.request("stop_cancellation", cancellation_id=cancellation)
        driver.read("requests")
    driver.read()
    assert (driver.status(early), driver.status(late)) == ("cancelled", "scheduled")
    driver.advance("1s")
    assert driver.progress(cancellation)["states"] == ["stopped"]


def test_s22_a_cancellation_that_is_done_stays_done() -> None:
    """S22: a stop that comes too late changes nothing."""
    driver = Driver(FUNCTIONS)
    cancellation = driver.cancel_runs(SLUG)
    driver.advance("1s")
    driver.request("stop_cancellation", cancellation_id=cancellation)
    assert driver.progress(cancellation)["states"] == ["done"]


def test_s23_a_dry_run_counts_and_changes_nothing() -> None:
    """S23: it counts exactly, late registrations too, and shows some of the runs."""
    driver = Driver(FUNCTIONS)
    runs = [driver.event("report/requested", reportId=f"r{n}") for n in range(3)]
    with driver.unread():
        runs.append(driver.event("report/requested", reportId="late", partition=1))
        cancellation = driver.cancel_runs(SLUG, dry_run=True)
        driver.read("requests")
    driver.read()
    driver.advance("1s")
    progress = driver.progress(cancellation)
    assert (progress["matched"], progress["cancelled"]) == (4, 0)
    assert progress["sample"] == sorted(driver.run(run)["run_id"] for run in runs)
    assert {driver.status(run) for run in runs} == {"scheduled"}


def test_s23_the_sample_is_small() -> None:
    """S23: ten runs of a partition at most."""
    driver = Driver(FUNCTIONS, partitions=1)
    for number in range(20):
        driver.event("report/requested", reportId=f"r{number}")
    assert len(driver.progress(driver.cancel_runs(SLUG, dry_run=True))["sample"]) == limits.SAMPLE


def test_s24_live_commands_go_between_the_slices() -> None:
    """S24: a live cancel doesn't wait until a long cancellation is done."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for one in range(3 * limits.SLICE_DECISIONS):
            driver.event("report/requested", reportId=f"r{one}")
        driver.event("report/requested", reportId="live")
        driver.read()
    with driver.down(), driver.unread():
        driver.cancel_runs(SLUG, if_="event.data.reportId != 'live'")
        driver.cancel("report/cancelled", reportId="live")
        driver.read()
    order = [one["data"]["event"]["data"]["reportId"] for one in driver.cancellations()]
    assert order.index("live") < len(order) - 1


def test_s25_one_failing_evaluation_stops_nothing() -> None:
    """S25: it is counted and listed with its error; other runs and cancellations go on."""
    driver = Driver(FUNCTIONS)
    good = driver.event("report/requested", reportId="good", pages=3)
    bad = driver.event("report/requested", reportId="bad")

    cancellation = driver.cancel_runs(SLUG, if_="event.data.pages > 1")
    assert driver.cancelled() == [good.id]
    progress = driver.progress(cancellation)
    assert (progress["failed"], progress["cancelled"]) == (1, 1)
    [failure] = driver.failures(cancellation)
    assert failure["run_id"] == driver.run(bad)["run_id"]
    assert failure["failed"]

    driver.cancel_runs(SLUG)
    assert driver.status(bad) == "cancelled"


def test_s26_one_run_is_cancelled_by_its_id() -> None:
    """S26: its home decides, and says what came of it."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    other = driver.event("report/requested", reportId="r2")
    run_id = driver.run(run)["run_id"]

    first = driver.request("cancel_run", run_id=run_id, reason="mine")
    again = driver.request("cancel_run", run_id=run_id)
    unknown = driver.request("cancel_run", run_id=keys.run_id_text(b"\x01" * 16))

    assert driver.cancelled() == [run.id]
    assert driver.status(other) == "scheduled"
    cause = driver.cancellation(run)["data"]["cause"]
    assert (cause["type"], cause["reason"], cause["requested_by"]) == ("api", "mine", "tester")
    outcomes = [driver.progress(one)["outcomes"] for one in (first, again, unknown)]
    assert outcomes == [["cancelled"], ["already_ended"], ["not_found"]]


def test_a_repeated_request_does_nothing() -> None:
    """Whoever isn't sure whether a request was written repeats it under the same id."""
    driver = Driver(FUNCTIONS)
    driver.event("report/requested", reportId="r1")
    cancellation = driver.cancel_runs(SLUG)
    driver.advance("1s")
    new = driver.event("report/requested", reportId="r2")
    driver.cancel_runs(SLUG, request_id=cancellation)
    driver.advance("1s")
    assert driver.status(new) == "scheduled"
    assert driver.progress(cancellation)["cancelled"] == 1


def test_a_request_leaves_nothing_behind() -> None:
    """A day after a request nothing is kept of it."""
    driver = Driver(FUNCTIONS)
    driver.cancel_runs(SLUG)
    driver.advance("1s")
    assert driver.rows(Space.REQUEST)
    driver.advance("25h")
    assert driver.rows(Space.REQUEST) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"started_before": "soon"}, "started_before"),
        ({"if": "event.data.x =="}, "if"),
        ({"app_id": "x" * 300}, "function_id"),
    ],
)
def test_a_bad_request_is_a_dead_letter(body: dict[str, object], what: str) -> None:
    """What can't be read is kept with the reason."""
    driver = Driver(FUNCTIONS)
    good: Any = {"app_id": "reports", "function_id": "generate", "started_before": driver.now}
    driver.request("cancel_runs", **good | body)
    [letter] = driver.dead_letters()
    assert what in letter["message"]
