"""What happens when two things are asked of one run: the race table of docs/semantics.md.

Each cell is played in both orders at the run's home, which alone decides.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.driver import Driver, Sent

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
"""
SLUG = "reports-generate"
Act = Callable[[Driver, Sent], Any]


def cancellation(driver: Driver, _run: Sent) -> str:
    """Cancel all runs so far."""
    return driver.cancel_runs(SLUG)


def deletion(driver: Driver, _run: Sent) -> None:
    """Stop the last cancellation."""
    driver.request("stop_cancellation", cancellation_id=driver.requested[-1])


def completion(driver: Driver, run: Sent) -> None:
    """The worker is done."""
    driver.update("completed", run)


def cancel_event(driver: Driver, _run: Sent) -> None:
    """An event cancels the run."""
    driver.cancel("report/cancelled", reportId="r1")


def pause(driver: Driver, _run: Sent) -> None:
    """The function is paused, unfinished runs are cancelled at once."""
    driver.request("pause", function_id=SLUG, running="now")


def single(driver: Driver, run: Sent) -> None:
    """One run is cancelled by its id."""
    driver.request("cancel_run", run_id=driver.runs(run)[0]["run_id"])


def play(first: Act, then: Act) -> tuple[Driver, Sent]:
    """A run to which two things happen."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    first(driver, run)
    then(driver, run)
    driver.advance("10s")
    return driver, run


def outcome(driver: Driver, run: Sent) -> str:
    """The run's status, with the cause of a cancel."""
    status = driver.status(run)
    causes = [one["data"]["cause"]["type"] for one in driver.cancellations()]
    assert len(causes) == (status == "cancelled")
    return f"cancelled ({causes[0]})" if causes else status


CELLS: Final[dict[str, tuple[Act, Act, str]]] = {
    "cancellation, then completion": (cancellation, completion, "cancelled (cancellation)"),
    "completion, then cancellation": (completion, cancellation, "completed"),
    "cancellation, then cancel event": (cancellation, cancel_event, "cancelled (cancellation)"),
    "cancel event, then cancellation": (cancel_event, cancellation, "cancelled (event)"),
    "cancellation, then single cancel": (cancellation, single, "cancelled (cancellation)"),
    "single cancel, then cancellation": (single, cancellation, "cancelled (api)"),
    "cancellation, then its delete": (cancellation, deletion, "cancelled (cancellation)"),
    "pause now, then cancellation": (pause, cancellation, "cancelled (pause)"),
    "cancellation, then pause now": (cancellation, pause, "cancelled (cancellation)"),
    "pause now, then completion": (pause, completion, "cancelled (pause)"),
    "completion, then pause now": (completion, pause, "completed"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_what_comes_first_at_the_home_decides(cell: str) -> None:
    """Whatever comes later finds an ended run, and there is one `function.cancelled` at most."""
    first, then, expected = CELLS[cell]
    assert outcome(*play(first, then)) == expected


def late_registration() -> str:
    """A run is registered after the cancellation that covers it."""
    driver = Driver(FUNCTIONS)
    with driver.unread():
        run = driver.event("report/requested", reportId="r1", partition=1)
        driver.cancel_runs(SLUG)
        driver.read("requests")
    driver.read()
    return outcome(driver, run)


def late_registration_after_delete() -> str:
    """The cancellation was deleted before the run was registered."""
    driver = Driver(FUNCTIONS)
    with driver.unread():
        run = driver.event("report/requested", reportId="r1", partition=1)
        cancellation_id = driver.cancel_runs(SLUG)
        driver.request("stop_cancellation", cancellation_id=cancellation_id)
        driver.read("requests")
    driver.read()
    return outcome(driver, run)


def late_registration_and_held_cancel() -> str:
    """A cancel event and a cancellation wait for one run: the event comes first."""
    driver = Driver(FUNCTIONS)
    with driver.unread():
        run = driver.event("report/requested", reportId="r1", partition=1)
        driver.cancel_runs(SLUG)
        driver.cancel("report/cancelled", reportId="r1")
        driver.read("requests")
        driver.read("cancels")
    driver.read()
    return outcome(driver, run)


def cancel_event_while_kept_back() -> str:
    """A run received while its function is paused is cancelled before it is skipped."""
    driver = Driver(FUNCTIONS)
    driver.request("pause", function_id=SLUG)
    run = driver.event("report/requested", reportId="r1")
    cancel_event(driver, run)
    driver.advance("10s")
    return outcome(driver, run)


def cancel_event_after_skip() -> str:
    """A skipped run has ended."""
    driver = Driver(FUNCTIONS)
    driver.request("pause", function_id=SLUG)
    run = driver.event("report/requested", reportId="r1")
    driver.advance("10s")
    cancel_event(driver, run)
    return outcome(driver, run)


def cancellation_while_kept_back() -> str:
    """A cancellation meets a run that waits to be skipped."""
    driver = Driver(FUNCTIONS)
    driver.request("pause", function_id=SLUG)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel_runs(SLUG)
    driver.advance("10s")
    return outcome(driver, run)


def replay_while_paused() -> str:
    """A replay is routed like an event received now."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    cancel_event(driver, run)
    driver.request("pause", function_id=SLUG)
    return _again(driver, run, "cancelled")


def replay_of_skipped() -> str:
    """After the resume, what was skipped is run by a replay."""
    driver = Driver(FUNCTIONS)
    driver.request("pause", function_id=SLUG)
    run = driver.event("report/requested", reportId="r1")
    driver.advance("10s")
    driver.request("resume", function_id=SLUG)
    return _again(driver, run, "skipped")


def replay_then_old_cancellation() -> str:
    """A replay is received now, beyond the range of what cancelled its original."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    driver.cancel_runs(SLUG)
    return _again(driver, run, "cancelled")


def replay_then_cancel_event() -> str:
    """A replayed run waits under the keys of its event."""
    driver = Driver(FUNCTIONS)
    run = driver.event("report/requested", reportId="r1")
    cancel_event(driver, run)
    _again(driver, run, "cancelled")
    cancel_event(driver, run)
    return str(driver.runs(run)[-1]["status"])


def _again(driver: Driver, run: Sent, status: str) -> str:
    body: Any = {"from": 0, "to": driver.now + 1, "statuses": [status]}
    driver.request("replay", function_id=SLUG, **body)
    driver.advance("10s")
    return str(driver.runs(run)[-1]["status"])


LATE: Final[dict[str, tuple[Callable[[], str], str]]] = {
    "cancellation, then registration": (late_registration, "cancelled (cancellation)"),
    "cancellation, its delete, then registration": (late_registration_after_delete, "scheduled"),
    "cancellation and cancel event, then registration": (
        late_registration_and_held_cancel,
        "cancelled (event)",
    ),
    "pause, registration, then cancel event": (cancel_event_while_kept_back, "cancelled (event)"),
    "pause, registration, then cancellation": (
        cancellation_while_kept_back,
        "cancelled (cancellation)",
    ),
    "pause, skip, then cancel event": (cancel_event_after_skip, "skipped"),
    "cancel, pause, then replay": (replay_while_paused, "skipped"),
    "pause, skip, resume, then replay": (replay_of_skipped, "scheduled"),
    "cancellation, then replay": (replay_then_old_cancellation, "scheduled"),
    "cancel, replay, then cancel event": (replay_then_cancel_event, "cancelled"),
}


@pytest.mark.parametrize("cell", LATE)
def test_what_was_asked_before_applies_to_what_comes_later(cell: str) -> None:
    """Rules outlive the moment in which they were asked for; ended runs don't change."""
    played, expected = LATE[cell]
    assert played() == expected


def test_the_race_table_is_published() -> None:
    """docs/semantics.md has exactly these cells, with these results."""
    text = (Path(__file__).parents[2] / "docs" / "semantics.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    published = {cell.strip(" `"): result.strip() for cell, result in rows}
    ours = {name: cell[2] for name, cell in CELLS.items()}
    assert published == ours | {name: cell[1] for name, cell in LATE.items()}
