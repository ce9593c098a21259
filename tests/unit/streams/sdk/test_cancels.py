"""Where a cancel stops a function, and what the function can do about it (S32, S33)."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from streams.sdk import BlockingContext, Cancelled, Context, StepError
from streams.sdk.testing import After, Before, During, InSleep, Moment
from tests.support.kit import fail, load, run


async def report(ctx: Context) -> None:
    """Two steps around a sleep."""
    await ctx.step.run("load", load)
    await ctx.step.sleep("wait", "10s")
    await ctx.step.run("render", load)


def blocking_report(ctx: BlockingContext) -> None:
    """The same in a thread."""
    ctx.step.run("load", load)
    ctx.step.sleep("wait", "10s")
    ctx.step.run("render", load)


@pytest.mark.parametrize("call", [report, blocking_report])
@pytest.mark.parametrize(
    ("moment", "steps", "slept_ms"),
    [
        (Before("load"), [], 0),
        (During("load"), ["load"], 0),
        (After("load"), ["load"], 0),
        (Before("wait"), ["load"], 0),
        (InSleep("wait", after="3s"), ["load"], 3_000),
        (InSleep("wait", after=timedelta(seconds=9)), ["load"], 9_000),
        (After("wait"), ["load"], 10_000),
        (Before("render"), ["load"], 10_000),
        (During("render"), ["load", "render"], 10_000),
        (After("render"), ["load", "render"], 10_000),
    ],
    ids=str,
)
def test_no_step_starts_after_a_cancel(
    call: object, moment: Moment, steps: list[str], slept_ms: int
) -> None:
    """What executes runs to its end, a sleep ends at once, and nothing more begins (S32)."""
    outcome = run(call, cancel=moment)  # type: ignore[arg-type]
    assert (outcome.status, outcome.steps, outcome.slept_ms) == ("cancelled", steps, slept_ms)
    assert outcome.cause == {"type": "api", "reason": None, "requested_by": "testing kit"}


def test_the_outcome_of_a_step_in_which_the_cancel_came_is_not_kept() -> None:
    """Nobody asks for it any more; the run's last step is the one before."""
    outcome = run(report, cancel=During("render"))
    assert outcome.results == {"load": "loaded"}
    assert outcome.cancelled_run is not None
    assert outcome.cancelled_run.last_step == "load"


def test_a_step_sees_that_it_was_cancelled() -> None:
    """A long step may look, and end early."""
    seen = []

    async def look(ctx: Context) -> None:
        async def render() -> None:
            seen.append((ctx.cancelled, ctx.cause))

        await ctx.step.run("before", render)
        await ctx.step.run("render", render)

    run(look, cancel=During("render"), cause={"type": "event"})
    assert seen == [(False, None), (True, {"type": "event"})]


def test_no_handler_of_exceptions_swallows_a_cancel() -> None:
    """`except Exception` around every step lets it pass (S33)."""
    went_on = []

    async def careless(ctx: Context) -> None:
        for name in ("load", "render"):
            with suppress(Exception):
                await ctx.step.run(name, load)
            went_on.append(name)

    outcome = run(careless, cancel=Before("render"))
    assert went_on == ["load"]
    assert isinstance(outcome.error, Cancelled)


def test_a_function_may_clean_up_and_raise_again() -> None:
    """It is told that, and why."""
    cleaned = []

    async def careful(ctx: Context) -> None:
        try:
            await ctx.step.run("load", load)
        except Cancelled as cancelled:
            cleaned.append((cancelled.code, cancelled.cause))
            raise

    outcome = run(careful, cancel=During("load"), cause={"type": "event"})
    assert cleaned == [("CANCELLED", {"type": "event"})]
    assert outcome.status == "cancelled"


@pytest.mark.parametrize("moment", [Before("load"), During("load")])
def test_a_function_that_returns_instead_ends_cancelled(moment: Moment) -> None:
    """Nothing that a function does makes a cancelled run a completed one."""

    async def stubborn(ctx: Context) -> None:
        with suppress(Cancelled):
            await ctx.step.run("load", load)

    assert run(stubborn, cancel=moment).status == "cancelled"


def test_a_function_that_fails_after_a_cancel_ends_cancelled() -> None:
    """A cleanup that fails doesn't turn the run into a failed one."""

    async def clumsy(ctx: Context) -> None:
        try:
            await ctx.step.run("load", load)
        except Cancelled:
            fail()

    outcome = run(clumsy, cancel=Before("load"))
    assert outcome.status == "cancelled"
    assert isinstance(outcome.error, OSError)


def test_each_step_after_a_cancel_is_refused() -> None:
    """A function that goes on after the first Cancelled meets the next."""
    refused = []

    async def stubborn(ctx: Context) -> None:
        for name in ("load", "render"):
            try:
                await ctx.step.run(name, load)
            except Cancelled:
                refused.append(name)
        try:
            await ctx.step.sleep("wait", "1s")
        except Cancelled:
            refused.append("wait")

    assert run(stubborn, cancel=Before("load")).steps == []
    assert refused == ["load", "render", "wait"]


def test_a_cancel_ends_the_wait_for_another_try() -> None:
    """A step that failed isn't tried again after a cancel."""

    async def unlucky(ctx: Context) -> None:
        await ctx.step.run("load", fail)

    outcome = run(unlucky, cancel=During("load"))
    assert (outcome.status, outcome.slept_ms) == ("cancelled", 0)


def test_a_failing_step_is_told_apart_from_a_cancel() -> None:
    """One is an Exception with a code of its own, the other isn't."""

    async def unlucky(ctx: Context) -> None:
        with pytest.raises(StepError) as raised:
            await ctx.step.run("load", fail)
        assert raised.value.code == "OSError"

    assert run(unlucky).status == "completed"
    assert not issubclass(Cancelled, Exception)
    assert not issubclass(StepError, Cancelled)


def test_a_run_cancelled_in_a_long_sleep_is_not_called_again() -> None:
    """It is in no worker's hands then: `on_cancelled` has the last word."""

    async def patient(ctx: Context) -> None:
        await ctx.step.run("load", load)
        await ctx.step.sleep("month", "14d")
        await ctx.step.run("render", load)

    outcome = run(patient, cancel=InSleep("month", after="7d"))
    assert (outcome.status, outcome.steps, outcome.attempts) == ("cancelled", ["load"], 1)
    assert outcome.slept_ms == 7 * 86_400_000
    assert outcome.error is None
    assert outcome.cancelled_run is not None
    assert outcome.cancelled_run.status_before == "sleeping"


# Steps beside each other


async def beside(ctx: Context, done: list[str], *, grouped: bool) -> None:
    """Two steps at once, one of which ends after the other."""
    both = asyncio.Event()

    async def first() -> None:
        await both.wait()
        done.append("first")

    async def second() -> None:
        both.set()
        for _ in range(5):
            await asyncio.sleep(0)
        done.append("second")

    if not grouped:
        await asyncio.gather(ctx.step.run("first", first), ctx.step.run("second", second))
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step.run("first", first))
        group.create_task(ctx.step.run("second", second))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("cancel", [None, During("second")])
def test_steps_beside_each_other_all_run_to_their_end(grouped: bool, cancel: Moment | None) -> None:
    """The function hears of a cancel once none of them executes any more."""
    done: list[str] = []

    async def both(ctx: Context) -> None:
        try:
            await beside(ctx, done, grouped=grouped)
        finally:
            done.append("over")

    outcome = run(both, cancel=cancel)
    assert outcome.status == ("cancelled" if cancel else "completed")
    assert done == ["first", "second", "over"]
    assert outcome.steps == ["first", "second"]


def test_a_step_in_a_thread_ends_before_the_function_does() -> None:
    """A group that gives up on a step waits for its thread, which nobody can stop."""
    done = []

    async def group(ctx: Context) -> None:
        started, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow() -> None:
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            done.append("slow")

        async def broken() -> None:
            await started.wait()
            loop.call_later(0.01, go_on.set)
            fail()

        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(ctx.step.run("slow", slow))
                both.create_task(ctx.step.run("broken", broken))
        finally:
            done.append("over")

    assert run(group).status == "failed"
    assert done == ["slow", "over"]


def test_a_step_that_its_function_left_behind_ends_before_the_run() -> None:
    """`gather` fails with one step: the other is still waited for, and no third starts."""
    done = []

    async def hasty(ctx: Context) -> None:
        async def slow() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            done.append("slow")

        async def branch() -> None:
            await ctx.step.run("slow", slow)
            await ctx.step.run("third", load)

        async def broken() -> None:
            fail()

        await asyncio.gather(branch(), ctx.step.run("broken", broken))

    outcome = run(hasty)
    assert (outcome.status, done) == ("failed", ["slow"])
    assert outcome.steps == ["slow", "broken"]


def test_long_sleeps_beside_each_other_all_count_from_their_beginning() -> None:
    """The run wakes with the first, and sleeps on for the rest of the others."""

    async def patient(ctx: Context) -> None:
        step = ctx.step
        await asyncio.gather(step.sleep("a", "3h"), step.sleep("b", "1h"), step.sleep("c", "5s"))

    outcome = run(patient)
    assert (outcome.slept_ms, outcome.attempts) == (3 * 3_600_000, 3)


def test_a_long_sleep_beside_steps_starves_none_of_them() -> None:
    """The run leaves its worker once nothing else of it goes on."""
    seen = []

    async def polling(ctx: Context) -> None:
        async def poll() -> None:
            for _ in range(3):
                seen.append((ctx.attempt, await ctx.step.run("poll", load)))
                await ctx.step.sleep("pause", "10s")

        await asyncio.gather(ctx.step.sleep("deadline", "1h"), poll())

    outcome = run(polling)
    assert (outcome.steps, outcome.attempts) == (["poll", "poll:1", "poll:2"], 2)
    assert [attempt for attempt, _ in seen] == [1, 1, 1, 2, 2, 2]
    assert outcome.slept_ms == 3_600_000
