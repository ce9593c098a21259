"""Order: what a cancel reaches, whatever is read first (S9, S11, S12, S13)."""

from itertools import permutations

import pytest

from tests.support.driver import Driver
from topology import limits
from topology.tables import Space

HOUR = limits.HOUR_MS
MINUTE = limits.MINUTE_MS
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.reportId, timeout: 24h}
      - {event: account/closed, match: data.user, early_cancel: 10m}
      - {event: project/closed, match: data.project, timeout: "2023-11-15T12:00:00Z"}
      - {event: maintenance/started, all_runs: true}
"""
LATEST = """
functions:
  - id: render
    app: documents
    triggers: [{event: document/saved}]
    cancel_on: [{event: document/saved, match: data.docId}]
"""
LATEST_OF_USER = """
functions:
  - id: render
    app: documents
    triggers: [{event: document/saved}]
    cancel_on:
      - {event: document/dropped, match: data.docId}
      - {event: document/saved, match: data.user, timeout: 10s}
"""


def test_s09_a_cancel_applies_to_runs_received_before_it() -> None:
    """S9: a run received after the cancel goes on, however soon after."""
    driver = Driver(FUNCTIONS)
    before = driver.event("report/requested", reportId="r1")
    cancel = driver.cancel("report/cancelled", reportId="r1")
    after = driver.event("report/requested", at=cancel.received + 1, reportId="r1")

    assert driver.cancelled() == [before.id]
    assert driver.status(after) == "scheduled"


@pytest.mark.parametrize("run_first", [True, False])
def test_s09_a_tie_between_partitions_cancels(run_first: bool) -> None:
    """S9: brokers stamp whole batches with one ms, so an equal time counts as before."""
    driver = Driver(FUNCTIONS)
    at = driver.now + 1
    with driver.unread():
        run = driver.event("report/requested", at=at, partition=1, reportId="r1")
        driver.event("report/cancelled", at=at, partition=0, reportId="r1")
    driver.read("events", 1 if run_first else 0)
    driver.read()

    assert driver.cancelled() == [run.id]


def test_s09_within_one_partition_the_offset_decides() -> None:
    """S9: of two records with one time in one partition the first is the earlier one."""
    driver = Driver(FUNCTIONS)
    at = driver.now + 1
    before = driver.event("report/requested", at=at, reportId="r1")
    driver.event("report/cancelled", at=at, reportId="r1")
    after = driver.event("report/requested", at=at, reportId="r1")

    assert driver.cancelled() == [before.id]
    assert driver.status(after) == "scheduled"


@pytest.mark.parametrize("first", [0, 1])
def test_s09_of_two_tied_triggers_exactly_one_survives(first: int) -> None:
    """S9: between events that both trigger the function, ties go by topic, partition, offset."""
    driver = Driver(LATEST)
    at = driver.now + 1
    with driver.unread():
        older = driver.event("document/saved", at=at, partition=0, docId="d1")
        newer = driver.event("document/saved", at=at, partition=1, docId="d1")
    driver.read("events", first)
    driver.read()

    assert driver.cancelled() == [older.id]
    assert driver.status(newer) == "scheduled"


@pytest.mark.parametrize("order", [*permutations(("events", "cancels", "other"))])
@pytest.mark.parametrize("partitions", [1, 5])
def test_s11_the_order_of_reading_topics_does_not_matter(
    order: tuple[str, ...], partitions: int
) -> None:
    """S11: every order of reading gives the same cancelled runs, held rows and forwards or not."""
    inputs = [{"topic": name} for name in ("events", "cancels", "other")]
    driver = Driver(FUNCTIONS, partitions=partitions, inputs=inputs)
    with driver.unread():
        hit = driver.event("report/requested", reportId="r1", user="u1")
        driver.cancel("report/cancelled", reportId="r1")
        late = driver.event("report/requested", topic="other", reportId="r1", user="u2")
        missed = driver.event("report/requested", topic="cancels", reportId="r1", user="u3")
        driver.event("account/closed", topic="other", user="u2")
        driver.event("report/cancelled", partition=1, reportId="r9")
    for topic in order:
        for partition in (1, 0):
            driver.read(topic, partition)
            driver.complete()
    driver.advance("1d")

    assert driver.cancelled() == sorted([hit.id, late.id])
    assert driver.status(missed) == "scheduled"
    assert driver.rows(Space.HELD_CANCEL) == driver.rows(Space.HELD_MATCH) == []
    assert driver.rows(Space.HELD_UNLISTEN) == []


def test_s11_a_cancel_waits_for_its_runs_until_the_watermark_has_passed_it() -> None:
    """S11: a cancel is held for runs that are still to be read, and no longer."""
    driver = Driver(FUNCTIONS)
    driver.cancel("report/cancelled", reportId="r1")
    assert driver.rows(Space.HELD_CANCEL)

    driver.advance("1s")

    assert driver.rows(Space.HELD_CANCEL) == []


def test_s11_a_match_waits_at_home_for_a_run_whose_registration_is_behind() -> None:
    """S11: another partition finds the run first, while its home lags; the home decides later."""
    driver = Driver(FUNCTIONS, partitions=8)
    home = driver.home(driver.event("report/requested", reportId="r1", user="u0"))
    with driver.down(home):
        run = driver.event("report/requested", reportId="r1", user="u1")
        driver.cancel("account/closed", user="u1")
        driver.advance("1h")
        assert driver.cancelled() == []

    assert driver.cancelled() == [run.id]


@pytest.mark.parametrize(
    ("after_ms", "is_cancelled"), [(10 * MINUTE, True), (10 * MINUTE + 1, False)]
)
def test_s12_an_early_cancel_reaches_runs_soon_after_it(after_ms: int, is_cancelled: bool) -> None:
    """S12: early_cancel reaches that far beyond the cancel, to the ms, and holds it so long."""
    driver = Driver(FUNCTIONS)
    cancel = driver.cancel("account/closed", user="u1")
    driver.advance(to=cancel.received + after_ms)

    run = driver.event("report/requested", at=cancel.received + after_ms, reportId="r1", user="u1")

    assert (driver.status(run) == "cancelled") is is_cancelled


@pytest.mark.parametrize(("late_ms", "is_cancelled"), [(-1, True), (0, True), (1, False)])
def test_s13_a_rule_ends_after_its_timeout(late_ms: int, is_cancelled: bool) -> None:
    """S13: a cancel received later than the timeout after the run doesn't match, to the ms."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")

    driver.event("report/cancelled", at=run.received + 24 * HOUR + late_ms, reportId="r1")

    assert (driver.status(run) == "cancelled") is is_cancelled


@pytest.mark.parametrize(("late_ms", "is_cancelled"), [(0, True), (1, False)])
def test_s13_a_rule_may_end_at_an_instant(late_ms: int, is_cancelled: bool) -> None:
    """S13: a timeout that is an instant counts for every run alike."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1", project="p1")

    driver.event("project/closed", at=1_700_049_600_000 + late_ms, project="p1")

    assert (driver.status(run) == "cancelled") is is_cancelled


def test_s13_received_times_decide_and_not_when_a_cancel_is_read() -> None:
    """S13: a cancel received in time matches however late it is read."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    with driver.unread():
        driver.cancel("report/cancelled", reportId="r1")
        driver.wait("7d")
    driver.read()

    assert driver.cancelled() == [run.id]


def test_s13_a_forwarded_cancel_in_time_finds_its_listener_after_the_timeout() -> None:
    """S13: what another partition sends on late was received in time all the same."""
    driver = Driver(LATEST_OF_USER, partitions=16)
    runs = [
        driver.event("document/saved", docId=f"d{number}", user=f"u{number}") for number in range(9)
    ]
    homes = [driver.home(run) for run in runs]
    apart = next(number for number, home in enumerate(homes) if home != homes[0])
    with driver.down(homes[apart]):
        driver.event("document/saved", docId=f"d{apart}", user="u0")
        driver.advance("1h")
        assert driver.cancelled() == []

    assert runs[0].id in driver.cancelled()
