"""Rules: expressions, keys, scans, versions (S14 to S17, S35), and what is told of a cancel."""

from typing import Any

import pytest

from streams.errors import DefinitionError
from streams.functions.definition import read_text
from tests.support.driver import Driver
from topology import limits, tables
from topology.tables import Space

ONE_RULE = """
functions:
  - id: generate
    app: reports
    triggers: [{{event: report/requested}}]
    cancel_on: [{{event: report/cancelled, {rule}}}]
"""
EITHER = "event.data.user == async.data.user || event.data.team == async.data.team"


def driver_of(rule: str, partitions: int = 8) -> Driver:
    """A driver with a function of one rule, and partitions enough to keep its keys apart."""
    return Driver(ONE_RULE.format(rule=rule), partitions=partitions)


@pytest.mark.parametrize(
    ("run", "cancel"),
    [
        ({}, {}),
        ({"key": None}, {"key": None}),
        ({"key": 1}, {}),
        ({}, {"key": 1}),
        ({"other": 1}, {"other": 1}),
    ],
)
def test_s14_missing_or_null_equals_nothing(run: dict[str, Any], cancel: dict[str, Any]) -> None:
    """S14: an equality with a side that is missing or null is false, not true for all."""
    driver = driver_of("match: data.key")
    driver.event("report/requested", **run)

    driver.cancel("report/cancelled", **cancel)

    assert driver.cancelled() == []


@pytest.mark.parametrize(
    ("run", "cancel", "equal"),
    [
        (1, 1.0, True),
        ("1", 1, False),
        (True, 1, False),
        (0, -0.0, True),
        (2**53 + 1, float(2**53), False),
        ([1, {"a": 2}], [1.0, {"a": 2.0}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("é", "e\u0301", False),
    ],
)
def test_s15_equality_is_by_value(run: object, cancel: object, equal: bool) -> None:
    """S15: numbers by value, types apart, lists and maps deep, text as it is."""
    driver = driver_of("match: data.key")
    driver.event("report/requested", key=run)

    driver.cancel("report/cancelled", key=cancel)

    assert len(driver.cancelled()) == equal


def test_s16_an_expression_without_an_answer_does_not_match() -> None:
    """S16: an error at evaluation is no match, is counted, and hides no other run."""
    driver = driver_of('if: "event.data.user == async.data.user && async.data.n < event.data.n"')
    driver.event("report/requested", user="u1", n="many")
    good = driver.event("report/requested", user="u1", n=5)

    driver.cancel("report/cancelled", user="u1", n=1)

    assert driver.cancelled() == [good.id]
    assert driver.count("evaluation_errors") == 1


def test_s16_it_is_logged_once_per_rule_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    """S16: a rule that fails for every run doesn't flood the log."""
    rule = 'if: "event.data.user == async.data.user && async.data.n < event.data.n"'
    driver = Driver(ONE_RULE.format(rule=rule).replace("generate", "logged-once"))
    for _ in range(5):
        driver.event("report/requested", user="u1", n="many")

    driver.cancel("report/cancelled", user="u1", n=1)

    lines = [record for record in caplog.records if "no answer" in record.getMessage()]
    assert len(lines) == 1
    assert driver.count("evaluation_errors") == 5


def test_a_trigger_condition_without_an_answer_starts_nothing() -> None:
    """S16: a trigger's `if` that errors doesn't start a run, and is reported."""
    functions = ONE_RULE.format(rule="match: data.key").replace(
        "{event: report/requested}", '{event: report/requested, if: "event.data.n > 0"}'
    )
    driver = Driver(functions)

    run = driver.event("report/requested", key=1)

    assert driver.runs(run) == []
    assert [slug for slug, _ in driver.trigger_errors] == ["reports-generate"]


@pytest.mark.parametrize("found_by", [{"user": "u1"}, {"team": "t1"}, {"user": "u1", "team": "t1"}])
def test_s17_each_branch_of_an_or_finds_its_runs(found_by: dict[str, str]) -> None:
    """S17: a run listens under one key per branch, each perhaps in another partition."""
    driver = driver_of(f'if: "{EITHER}"')
    hits = [driver.event("report/requested", user="u1", team="t1") for _ in range(3)]
    driver.event("report/requested", user="u2", team="t2")

    driver.cancel("report/cancelled", **found_by)

    assert driver.cancelled() == sorted(run.id for run in hits)


def test_s17_a_rule_without_an_equality_asks_every_partition() -> None:
    """S17: a scan rule finds its runs wherever they are."""
    driver = driver_of('if: "async.data.limit < event.data.pages"')
    runs = [driver.event("report/requested", pages=pages) for pages in range(20)]
    assert len({driver.home(run) for run in runs}) > 1

    driver.cancel("report/cancelled", limit=9)

    assert driver.cancelled() == sorted(run.id for run in runs[10:])


def test_s17_a_scan_waits_for_runs_that_are_read_later() -> None:
    """S11 and S17: a scan's cancel is held in every partition."""
    driver = driver_of('if: "async.data.limit < event.data.pages"')
    with driver.unread():
        runs = [driver.event("report/requested", pages=pages) for pages in range(6)]
        driver.cancel("report/cancelled", limit=2)
    driver.read("cancels")
    driver.read("events")

    assert driver.cancelled() == sorted(run.id for run in runs[3:])


def test_a_run_that_ended_listens_nowhere() -> None:
    """What listens elsewhere goes when its run ends, so that nothing piles up."""
    driver = driver_of(f'if: "{EITHER}"')
    run = driver.event("report/requested", user="u1", team="t1")
    assert len({key[tables.PREFIX] for key, _ in driver.rows(Space.LISTENER)}) == 2

    driver.update("completed", run)
    driver.advance("1s")

    assert driver.rows(Space.LISTENER) == driver.rows(Space.HELD_UNLISTEN) == []


def test_a_listen_that_comes_again_leaves_no_ghost() -> None:
    """A repeat in the same ms sends its run's listeners once more, after the run has ended."""
    driver = driver_of(f'if: "{EITHER}"')
    run = driver.event("report/requested", user="u1", team="t1")
    driver.update("completed", run)
    assert driver.rows(Space.LISTENER) == []

    driver.event("report/requested", id=run.id, at=run.received, user="u1", team="t1")
    driver.advance("1s")

    assert driver.rows(Space.LISTENER) == driver.rows(Space.HELD_UNLISTEN) == []


def test_s35_an_event_is_routed_by_the_version_valid_when_it_was_received() -> None:
    """S35: what is produced after `apply` meets the new version; earlier runs keep theirs."""
    driver = driver_of("match: data.key")
    old = driver.event("report/requested", key=1, other=5)
    driver.apply(ONE_RULE.format(rule="match: data.other"))
    new = driver.event("report/requested", key=1, other=5)
    assert driver.run(new)["function_version"] > driver.run(old)["function_version"]

    driver.cancel("report/cancelled", key=1)
    assert driver.cancelled() == [old.id]
    driver.cancel("report/cancelled", other=5)

    assert driver.cancelled() == [old.id, new.id]


def test_s35_an_event_received_before_a_version_is_valid_is_routed_by_the_old_one() -> None:
    """S35: received times decide, so a repeat is routed as the first time."""
    driver = driver_of("match: data.key")
    early = driver.now
    driver.apply(ONE_RULE.format(rule="match: data.other"))

    run = driver.event("report/requested", at=early, key=1, other=5)
    driver.reread("events")

    assert driver.run(run)["function_version"] == 0


def test_function_cancelled_says_what_why_and_how_far() -> None:
    """The outbound event has the shape that consumers of Inngest know, and the cause."""
    driver = driver_of("match: data.key")
    run = driver.event("report/requested", key=1)
    cancel = driver.cancel("report/cancelled", key=1)

    event = driver.cancellation(run)

    run_id = driver.run(run)["run_id"]
    assert (event["name"], event["id"], event["ts"], event["v"]) == (
        "function.cancelled",
        run_id,
        driver.now,
        1,
    )
    data = event["data"]
    assert data["function_id"] == "reports-generate"
    assert data["events"] == [data["event"]]
    assert data["error"] == {
        "name": "Error",
        "message": "function cancelled",
        "error": "function cancelled",
    }
    assert data["cause"]["event"] == {
        "id": cancel.id, "name": "report/cancelled", "topic": "cancels", "partition": 0,
        "offset": cancel.offset, "ts": cancel.received, "received": cancel.received,
    }  # fmt: skip
    assert data["cause"]["rule"] == {
        "index": 0, "version": 0, "expression": "event.data.key == async.data.key",
    }  # fmt: skip
    assert data["run"] == {
        "status_before": "scheduled", "scheduled_at": run.received, "started_at": None,
        "last_step": None, "attempt": 1,
    }  # fmt: skip


def test_a_run_of_the_largest_event_can_be_cancelled() -> None:
    """What registers can be cancelled: the outbound event holds the trigger twice and fits."""
    driver = driver_of("match: data.key")
    frame = 200
    driver.event("report/requested", key=1, text="x" * (limits.EVENT_BYTES - frame))

    driver.cancel("report/cancelled", key=1)

    (record,) = driver.cluster.records("cancelled")
    assert len(record.value or b"") <= limits.MESSAGE_BYTES
    assert driver.dead_letters() == []


@pytest.mark.parametrize("rule", ['if: "async.data.n > 1", early_cancel: 10m', "{}"])
def test_s12_rules_that_would_cancel_blindly_are_refused(rule: str) -> None:
    """S12: early_cancel needs an equality, and a rule needs a scope."""
    with pytest.raises(DefinitionError):
        read_text(ONE_RULE.format(rule=rule.replace("{}", "timeout: 1h")))
