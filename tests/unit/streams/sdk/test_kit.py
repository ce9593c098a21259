"""The testing kit itself: what it gives, and what it refuses."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from streams.sdk import App, CancelledRun, Context
from streams.sdk.testing import After, Before, During, InSleep, Moment, TestKit
from tests.support.kit import app_of, fail, load, run


async def report(ctx: Context) -> None:
    """A step and a sleep."""
    await ctx.step.run("load", load)
    await ctx.step.sleep("wait", "10s")


def test_a_function_gets_its_event_and_run() -> None:
    """As a worker would give them; the data as JSON gives it back."""
    seen: list[object] = []

    async def look(ctx: Context) -> None:
        event = ctx.event
        seen.append((event.name, event.data, event.user, event.ts))
        seen.append((ctx.function_id, ctx.attempt, ctx.cancelled, ctx.cause))
        assert len(ctx.run_id) == 26
        ctx.logger.info("looked")

    now = datetime(2026, 1, 31, tzinfo=UTC)
    kit = TestKit(app_of(look), now=now)
    data = {"pages": (1, 2)}
    asyncio.run(kit.run("generate", data=data, user="ann"))
    asyncio.run(kit.run("reports-generate", name="report/other", attempt=3))
    at = int(now.timestamp() * 1000)
    assert seen == [
        ("report/requested", {"pages": [1, 2]}, "ann", at),
        ("reports-generate", 1, False, None),
        ("report/other", {}, None, at),
        ("reports-generate", 3, False, None),
    ]


def test_an_unknown_function_is_named_with_those_there_are() -> None:
    """A wrong id is found at once."""
    with pytest.raises(LookupError, match="no function 'genrate'; it has: generate"):
        asyncio.run(TestKit(app_of(report)).run("genrate"))


@pytest.mark.parametrize(
    "moment",
    [Before("render"), After("render"), During("render"), During("wait"), InSleep("wait", "10s")],
    ids=str,
)
def test_a_cancel_whose_moment_never_comes_fails_the_test(moment: Moment) -> None:
    """A test that cancels nothing would prove nothing."""
    with pytest.raises(AssertionError, match=r"completed before .*\['load'\]"):
        run(report, cancel=moment)


@pytest.mark.parametrize("moment", [Before("wait"), After("wait")], ids=str)
def test_a_cancel_comes_before_or_after_a_sleep_of_no_length(moment: Moment) -> None:
    """It has a beginning and an end like any other, and nothing in between."""

    async def hurry(ctx: Context) -> None:
        await ctx.step.run("load", load)
        await ctx.step.sleep("wait", "0s")
        await ctx.step.run("render", load)

    outcome = run(hurry, cancel=moment)
    assert (outcome.status, outcome.steps, outcome.slept_ms) == ("cancelled", ["load"], 0)
    with pytest.raises(AssertionError, match="completed before"):
        run(hurry, cancel=InSleep("wait"))


def test_a_failed_run_has_its_error() -> None:
    """As the function raised it."""

    async def failing(_ctx: Context) -> None:
        fail()

    outcome = run(failing)
    assert (outcome.status, str(outcome.error)) == ("failed", "no paper")
    assert outcome.cancelled_run is None
    assert outcome.cause is None


def cleaning_app() -> tuple[App, list[tuple[CancelledRun, bool]]]:
    """An app with a cleanup of either kind, and what they were called with."""
    app, called = App("reports"), list[tuple[CancelledRun, bool]]()

    @app.on_cancelled(function="generate")
    async def clean_up(cancelled: CancelledRun) -> None:
        called.append((cancelled, threading.current_thread() is threading.main_thread()))

    @app.on_cancelled(function="reports-blocking")
    def clean_up_there(cancelled: CancelledRun) -> None:
        called.append((cancelled, threading.current_thread() is threading.main_thread()))

    for id_ in ("generate", "blocking", "other"):
        app.function(id=id_, trigger="report/requested")(report)
    return app, called


@pytest.mark.parametrize(("function", "here"), [("generate", True), ("blocking", False)])
def test_a_cleanup_gets_the_cancelled_run(function: str, here: bool) -> None:
    """Coroutines on the loop, plain functions in a thread."""
    app, called = cleaning_app()

    async def go() -> None:
        kit = TestKit(app)
        cause = {"type": "event"}
        outcome = await kit.run(function, data={"a": 1}, cancel=InSleep("wait"), cause=cause)
        assert await kit.clean_up(outcome) == outcome.cancelled_run

    asyncio.run(go())
    [(cancelled, was_here)] = called
    assert was_here is here
    assert (cancelled.function_id, cancelled.cause) == (f"reports-{function}", {"type": "event"})
    assert (cancelled.status_before, cancelled.last_step) == ("running", "load")
    assert (cancelled.event.data, cancelled.attempt) == ({"a": 1}, 1)


def test_only_a_cancelled_run_is_cleaned_up_after() -> None:
    """And only by what was declared."""
    kit = TestKit(cleaning_app()[0])
    with pytest.raises(ValueError, match="completed"):
        asyncio.run(kit.clean_up(asyncio.run(kit.run("generate"))))
    cancelled = asyncio.run(kit.run("other", cancel=Before("load")))
    with pytest.raises(LookupError, match="reports-other"):
        asyncio.run(kit.clean_up(cancelled))


def test_what_a_cleanup_raises_is_raised() -> None:
    """The kit calls it once."""
    app = app_of(report)
    app.on_cancelled(function="generate")(lambda _run: next(iter(())))
    kit = TestKit(app)
    outcome = asyncio.run(kit.run("generate", cancel=Before("load")))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(kit.clean_up(outcome))


def test_what_counts_as_a_long_sleep_may_be_said() -> None:
    """As a worker's setting does."""
    attempts = [
        asyncio.run(TestKit(app_of(report), park_after=park_after).run("generate")).attempts
        for park_after in ("9s", "10s")
    ]
    assert attempts == [2, 1]


def test_pytest_does_not_take_it_for_a_test() -> None:
    """Though its name begins like one."""
    assert TestKit.__test__ is False
