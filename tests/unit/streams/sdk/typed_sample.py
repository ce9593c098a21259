"""A program as users write it, with every public name: mypy checks what it is promised to know."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from streams.sdk import (
    App,
    BlockingContext,
    BlockingStep,
    Cancelled,
    CancelledRun,
    Context,
    Event,
    Retries,
    RevocationView,
    Step,
    StepError,
)
from streams.sdk.testing import After, Before, During, InSleep, Outcome, TestKit

app = App("reports", lease="60s", retries=Retries(attempts=3))


async def load(report_id: str, *, limit: int = 10) -> list[int]:
    """A coroutine step."""
    return [len(report_id)] * limit


def render(rows: list[int]) -> str:
    """A plain step."""
    return str(rows)


@app.function(
    id="generate",
    trigger=["report/requested", {"event": "report/again", "if": "event.data.pages > 0"}],
    cancel_on=[{"event": "report/cancelled", "match": "data.reportId"}],
    timeouts={"start": "10m", "finish": "2h"},
    lease="30s",
    pending_for="30d",
    retention="7d",
    retries=Retries(attempts=4, backoff="1s", longest=timedelta(minutes=1), never=(ValueError,)),
)
async def generate(ctx: Context) -> None:
    """Coroutines and plain functions keep their types through a step."""
    assert_type(ctx.event, Event)
    assert_type(ctx.event.data, dict[str, Any])
    assert_type(ctx.run_id, str)
    assert_type(ctx.function_id, str)
    assert_type(ctx.attempt, int)
    assert_type(ctx.cancelled, bool)
    assert_type(ctx.step, Step)
    logger: logging.LoggerAdapter[logging.Logger] = ctx.logger
    logger.info("report %s", ctx.event.data["reportId"])
    try:
        rows = await ctx.step.run("load", load, "r1", limit=3)
        assert_type(rows, list[int])
        page = await ctx.step.with_retries(Retries(attempts=1)).run("render", render, rows)
        assert_type(page, str)
        assert_type(await ctx.step.run("size", lambda: len(page)), int)
    except StepError as error:
        assert_type((error.name, error.code, error.attempts), tuple[str, str, int])
    except Cancelled as cancelled:
        logger.info("cancelled: %s", cancelled.cause)
        raise
    await ctx.step.sleep("wait", "10s")
    await ctx.step.sleep("wait", timedelta(seconds=10))
    await ctx.step.sleep_until("morning", "2026-01-31T12:00:00Z")
    await ctx.step.sleep_until("evening", datetime(2026, 1, 31, 20, tzinfo=UTC))
    await ctx.step.run("load", load, 7)  # type: ignore[call-overload]  # no report has this id


@app.function(id="blocking", trigger="report/requested")
def blocking(ctx: BlockingContext) -> None:
    """So do they in a thread."""
    assert_type(ctx.step, BlockingStep)
    assert_type(ctx.step.run("render", render, [1]), str)
    ctx.step.with_retries(Retries()).sleep("wait", "10s")
    ctx.step.sleep_until("morning", "2026-01-31T12:00:00Z")
    ctx.step.run("render", render, "rows")  # type: ignore[arg-type]  # no rows


@app.on_cancelled(function="generate")
async def clean_up(run: CancelledRun) -> None:
    """What was left."""
    assert_type(run.event, Event)
    assert_type(run.cause, dict[str, Any])
    assert_type((run.run_id, run.last_step, run.attempt), tuple[str, str | None, int])


@app.on_cancelled(function="reports-blocking")
def clean_up_there(run: CancelledRun) -> None:
    """What was left, in a thread."""


@app.function(id="wrong", trigger="x")  # type: ignore[type-var]  # it takes no context
async def wrong(number: int) -> None:
    """Not a function of a context."""


async def tests() -> None:
    """The testing kit."""
    kit = TestKit(app, park_after="30s", now=datetime(2026, 1, 31, tzinfo=UTC))
    for moment in (Before("load"), After("load"), During("load"), InSleep("wait", after="3s")):
        outcome = await kit.run("generate", data={"reportId": "r1"}, cancel=moment)
        assert_type(outcome, Outcome)
        assert_type(outcome.steps, list[str])
        assert_type(outcome.cancelled_run, CancelledRun | None)
        assert_type(await kit.clean_up(outcome), CancelledRun)


def revocations() -> bool:
    """For workers with a queue of their own."""
    with RevocationView(functions=["reports-generate"], since="7d", on_revoked=print) as view:
        return view.is_cancelled(function_id="reports-generate", event_id="e1")


# A decorated function is still itself.
assert_type(render([1]), str)
