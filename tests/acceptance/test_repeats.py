"""Runs, their ids, and repeats of the events that start them (S1 to S3, S10)."""

from typing import Any

import pytest

from tests.support.driver import Driver
from topology import keys, limits, tables

FUNCTIONS = """
functions:
  - id: render
    app: documents
    triggers: [{event: document/saved, if: event.data.pages > 0}, {event: document/imported}]
    cancel_on:
      - {event: document/saved, match: data.docId}
      - {event: account/closed, match: data.user}
    retention: 1d
  - id: index
    app: documents
    triggers: [{event: document/saved}]
"""
RENDER = "documents-render"
SAVED: dict[str, Any] = {"docId": "d1", "pages": 1, "user": "u1"}
DAY = limits.DAY_MS


def test_s01_an_event_registers_one_run_per_function_that_it_triggers() -> None:
    """S1: name and condition decide, function by function."""
    driver = Driver(FUNCTIONS)

    both = driver.event("document/saved", **SAVED)
    one = driver.event("document/saved", pages=0)
    none = driver.event("document/deleted")

    assert [run["function_id"] for run in driver.runs(both)] in (
        ["documents-index", RENDER],
        [RENDER, "documents-index"],
    )
    assert [run["function_id"] for run in driver.runs(one)] == ["documents-index"]
    assert driver.runs(none) == []


def test_s02_a_run_id_says_when_and_where() -> None:
    """S2: the id is a ULID that sorts by received time and names the home partition."""
    driver = Driver(FUNCTIONS, partitions=5)
    first, second = (driver.event("document/imported", docId=name) for name in "ab")

    one, other = driver.run(first), driver.run(second)

    assert one["run_id"] < other["run_id"]
    run_id = keys.run_id_bytes(one["run_id"])
    assert keys.received_ms(run_id) == first.received
    home = driver.partitions[keys.partition_of_run(run_id, 5)]
    assert home.store.get(tables.event_row_key(run_id)) is not None


def test_s02_another_router_gives_a_run_the_same_id() -> None:
    """S2: the id depends on nothing but the function and the record."""
    ids = []
    for _ in range(2):
        driver = Driver(FUNCTIONS)
        ids.append(driver.run(driver.event("document/imported", id="e1", docId="d1"))["run_id"])
    assert ids[0] == ids[1]


@pytest.mark.parametrize(("later_ms", "runs"), [(0, 1), (1, 1), (DAY - 1, 1), (DAY, 2)])
def test_s03_an_event_id_registers_one_run_a_day(later_ms: int, runs: int) -> None:
    """S3: a producer's repeat registers nothing within 24 h, to the ms."""
    driver = Driver(FUNCTIONS)
    first = driver.event("document/imported", id="e1", docId="d1")

    driver.event("document/imported", id="e1", at=first.received + later_ms, docId="d1")

    assert len(driver.runs(first)) == runs


def test_s03_an_ended_run_still_keeps_repeats_away() -> None:
    """S3: the run of a repeat may have ended, and its retention is a day at least."""
    driver = Driver(FUNCTIONS)
    run = driver.event("document/imported", id="e1", docId="d1")
    driver.update("completed", run)
    driver.advance(to=run.received + DAY - 2)

    driver.event("document/imported", id="e1", docId="d1")

    assert driver.history(run) == ["scheduled", "completed"]


def test_s03_a_repeat_in_the_same_ms_leaves_its_run_listening_everywhere() -> None:
    """S3: a repeat received in the same ms has its run's id, and must not end its listening."""
    for user in "abcdef":
        driver = Driver(FUNCTIONS, partitions=4)
        run = driver.event("document/imported", id="e1", docId="d1", user=user)
        driver.event("document/imported", id="e1", at=run.received, docId="d1", user=user)

        driver.cancel("account/closed", user=user)

        assert driver.cancelled() == ["e1"]


def test_s10_the_latest_event_wins() -> None:
    """S10: an event that triggers and cancels leaves its own run alone, and ends earlier ones."""
    driver = Driver(FUNCTIONS)
    first, second, last = (driver.event("document/saved", **SAVED) for _ in range(3))

    assert driver.cancelled() == [first.id, second.id]
    assert driver.run(last, RENDER)["status"] == "scheduled"


def test_s10_a_repeat_of_the_trigger_does_not_cancel_its_own_run() -> None:
    """S10: event ids are compared, so a producer's retry changes nothing (trap 13)."""
    driver = Driver(FUNCTIONS)
    run = driver.event("document/saved", id="e1", **SAVED)

    driver.event("document/saved", id="e1", **SAVED)

    assert driver.cancelled() == []
    assert driver.run(run, RENDER)["seq"] == 1


def test_s10_a_repeat_cancels_only_what_its_first_occurrence_could() -> None:
    """S10: runs between the first occurrence and its repeat stay."""
    driver = Driver(FUNCTIONS)
    first = driver.event("document/saved", id="first", **SAVED)
    between = driver.event("document/saved", id="between", **SAVED)

    driver.event("document/saved", id="first", **SAVED)

    assert driver.cancelled() == [first.id]
    assert driver.run(between, RENDER)["status"] == "scheduled"


def test_s10_an_event_whose_condition_is_false_only_cancels() -> None:
    """S10: an event that triggers nothing this time still cancels earlier runs."""
    driver = Driver(FUNCTIONS)
    run = driver.event("document/saved", **SAVED)

    driver.event("document/saved", **{**SAVED, "pages": 0})

    assert driver.cancelled() == [run.id]
