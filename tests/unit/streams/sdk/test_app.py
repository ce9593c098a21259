"""What an app declares, and what it refuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from streams.errors import DefinitionError
from streams.sdk import App, BlockingContext, CancelledRun, Context, Retries
from streams.sdk.app import Trigger
from topology import limits


async def nothing(_ctx: Context) -> None:
    """A function."""


def blocking(_ctx: BlockingContext) -> None:
    """A plain one."""


def clean_up(_run: CancelledRun) -> None:
    """A cleanup."""


def test_a_function_is_declared_as_in_yaml() -> None:
    """And remains what it was: it can be called like any other."""
    app = App("reports")
    rule = {"event": "report/cancelled", "match": "data.reportId"}
    declared = app.function(
        id="generate",
        trigger=["report/requested", {"event": "report/again", "if": "event.data.pages > 0"}],
        cancel_on=[rule],
        timeouts={"start": "10m", "finish": "2h"},
        lease="30s",
        pending_for="1d",
        retention="2d",
    )(nothing)
    assert declared is nothing
    function = app.functions["generate"]
    definition = function.definition
    assert function.slug == definition.slug == "reports-generate"
    assert app.by_slug() == {"reports-generate": function}
    assert [(one.event, one.if_ is not None) for one in definition.triggers] == [
        ("report/requested", False),
        ("report/again", True),
    ]
    assert [one.event for one in definition.cancel_on] == ["report/cancelled"]
    assert definition.start_timeout_ms == 10 * limits.MINUTE_MS
    assert definition.finish_timeout_ms == 2 * limits.HOUR_MS
    assert definition.lease_ms == 30 * limits.SECOND_MS
    assert definition.pending_for_ms == limits.DAY_MS
    assert definition.retention_ms == 2 * limits.DAY_MS


def test_functions_that_are_added_show_at_once() -> None:
    """Also one that takes the place of another, in what was asked for before."""
    app, other = App("reports"), App("reports")
    shown = app.by_slug()
    app.function(id="generate", trigger="report/requested")(nothing)
    other.function(id="generate", trigger="report/again")(nothing)
    first, second = app.functions["generate"], other.functions["generate"]
    assert shown == {"reports-generate": first}
    app.add(second)
    assert app.functions == {"generate": second}
    assert shown == {"reports-generate": second}


def test_what_a_function_leaves_open_its_app_says() -> None:
    """Lease and retries; every function has a lease."""
    app = App("reports", lease="45s", retries=Retries(attempts=2))
    app.function(id="one", trigger="x")(nothing)
    app.function(id="two", trigger={"event": "x"}, retries=Retries(attempts=7))(blocking)
    one, two = app.functions["one"], app.functions["two"]
    assert (one.definition.lease_ms, one.retries.attempts, one.blocking) == (45_000, 2, False)
    assert (two.definition.lease_ms, two.retries.attempts, two.blocking) == (45_000, 7, True)
    App("other").function(id="one", trigger="x")(nothing)


def test_a_second_function_of_an_id_is_refused() -> None:
    """It would take the runs of the first."""
    app = App("reports")
    app.function(id="generate", trigger="x")(nothing)
    with pytest.raises(ValueError, match="'generate' already"):
        app.function(id="generate", trigger="y")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"trigger": []}, "trigger"),
        ({"trigger": {"event": "x", "if": "event.data.pages >"}}, "triggers"),
        ({"cancel_on": [{"event": "y"}]}, "cancel_on"),
        ({"trigger": "report/*"}, "name each event"),
        ({"cancel_on": [{"event": "report/*", "match": "data.id"}]}, "name each event"),
        ({"cancel_on": [{"event": "y", "match": "event.data.id"}]}, r"write data\.id"),
        ({"cancel_on": [{"event": "y", "if": "async.data.hard"}]}, "add all_runs"),
        ({"cancel_on": [{"event": "y", "if": "true"}]}, "write all_runs: true instead"),
        ({"cancel_on": [{"event": "y", "match": "data.id"}] * 6}, "cancel_on"),
        ({"timeouts": {"start": "soon"}}, "duration"),
        ({"timeouts": {"middle": "1m"}}, "middle"),
        ({"lease": "0s"}, "lease"),
        ({"id": "Generate Report"}, "id"),
    ],
)
def test_a_bad_definition_is_refused_where_it_is_declared(
    fields: Mapping[str, Any], why: str
) -> None:
    """With the field, before anything runs."""
    options: dict[str, Any] = {"id": "generate", "trigger": "x", **fields}
    with pytest.raises(DefinitionError, match=why):
        App("reports").function(**options)


@pytest.mark.parametrize("trigger", ["x", {"event": "x"}, ["x"], ({"event": "x"},)])
def test_a_trigger_may_be_written_in_several_ways(trigger: Trigger | Sequence[Trigger]) -> None:
    """All mean the same."""
    app = App("reports")
    app.function(id="generate", trigger=trigger)(nothing)
    assert [one.event for one in app.functions["generate"].definition.triggers] == ["x"]


@pytest.mark.parametrize("name", ["generate", "reports-generate"])
@pytest.mark.parametrize("first", [False, True])
def test_a_cleanup_is_found_by_the_slug_of_its_function(name: str, first: bool) -> None:
    """Declared by id or slug, before the function or after it."""
    app = App("reports")
    if first:
        assert app.on_cancelled(function=name)(clean_up) is clean_up
    app.function(id="generate", trigger="x")(nothing)
    if not first:
        app.on_cancelled(function=name)(clean_up)
    assert app.cleanups == {"reports-generate": clean_up}
    for again in ("generate", "reports-generate"):
        with pytest.raises(ValueError, match="a cleanup already"):
            app.on_cancelled(function=again)


def test_a_cleanup_may_be_for_the_function_of_another_app() -> None:
    """By its slug: cleaning up may be another program's business."""
    app = App("files")
    app.on_cancelled(function="reports-generate")(clean_up)
    assert app.cleanups == {"reports-generate": clean_up}
