"""What a step returns, what of it is recorded, and when it is tried again (S34)."""

import dataclasses
import re
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from streams.sdk import BlockingContext, Context, Retries, StepError
from streams.sdk.testing import Outcome
from tests.support.kit import fail, load, run
from topology import limits

NOW = "2026-01-31T12:00:00Z"


def run_step(fn: Callable[..., Any], *args: Any, **options: Any) -> Outcome:
    """The outcome of a function with one step."""

    async def one(ctx: Context) -> None:
        await ctx.step.run("one", fn, *args)

    return run(one, **options)


def step_error(outcome: Outcome) -> StepError:
    """What the step of a failed run raised."""
    assert outcome.status == "failed"
    assert isinstance(outcome.error, StepError)
    return outcome.error


async def double(number: int) -> int:
    """A coroutine."""
    return 2 * number


class Doubler:
    """A callable object that is a coroutine."""

    async def __call__(self, number: int) -> int:
        """Twice the number."""
        return 2 * number


# Results


@pytest.mark.parametrize(
    "fn", [double, partial(double), Doubler(), lambda n: double(n + 0), lambda n: 2 * n]
)
def test_any_kind_of_function_is_a_step(fn: Callable[..., Any]) -> None:
    """Coroutines are awaited, whatever they come as; plain functions get a thread."""
    assert run_step(fn, 21).results == {"one": 42}


def test_a_result_comes_back_as_json_gives_it_back() -> None:
    """The first execution sees what a later attempt would see."""
    seen: list[object] = []

    async def one(ctx: Context) -> None:
        seen.append(await ctx.step.run("one", lambda: {"pair": (1, 2.5), "none": None}))

    outcome = run(one)
    assert seen == [{"pair": [1, 2.5], "none": None}]
    assert outcome.results == {"one": seen[0]}


@dataclasses.dataclass
class Point:
    """Not JSON."""

    x: int


class Text(str):
    """Nearly JSON."""

    __slots__ = ()


@pytest.mark.parametrize(
    "result",
    [
        datetime(2026, 1, 31, tzinfo=UTC), Point(1), b"bytes", {1: 2}, {1, 2}, 2**64, Text("a"),
        float("nan"), {"deep": [None, (1.0, float("-inf"))]}, "\ud800",
    ],
    ids=repr,
)  # fmt: skip
def test_what_json_would_change_is_refused(result: object) -> None:
    """Nothing is changed in silence: the step fails, once, and says why."""
    error = step_error(run_step(lambda: result, retries=Retries(attempts=3)))
    assert (error.name, error.code, error.attempts) == ("one", "NotJson", 1)
    assert "result of step 'one'" in str(error)


def test_a_result_has_a_bound() -> None:
    """What is too large for a record is refused with what to do instead."""
    within = limits.STEP_RESULT_BYTES - 2
    assert run_step(lambda: "x" * within).status == "completed"
    error = step_error(run_step(lambda: "x" * (within + 1)))
    assert error.code == "TooLarge"
    assert "return where" in str(error)


# Failures and retries


class NoFundsError(Exception):
    """An error with a code of its own."""

    code = "no_funds"


class LoudError(Exception):
    """An error with a code that no record holds."""

    code = "LOUD" * 750_000


class SecretiveError(Exception):
    """An error that doesn't tell its code."""

    @property
    def code(self) -> str:
        """Fails."""
        raise OSError


class NumberedError(Exception):
    """An error whose code is no text."""

    code = 7


class MuteError(Exception):
    """An error that can't say what it is."""

    def __str__(self) -> str:
        """Fails."""
        raise ValueError


def raising(error: BaseException) -> Callable[[], None]:
    """A function that raises this."""

    def fn() -> None:
        raise error

    return fn


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError("no paper"), "OSError", "no paper"),
        (NoFundsError("empty"), "no_funds", "empty"),
        (NumberedError("x"), "NumberedError", "x"),
        (MuteError(), "MuteError", "MuteError"),
        (LoudError("x"), LoudError.code[: limits.ERROR_NAME_CHARS], "x"),
        (SecretiveError("x"), "SecretiveError", "x"),
        (KeyError(), "KeyError", "KeyError"),
        (ValueError("\udcff is no text"), "ValueError", "? is no text"),
        (StopIteration("all"), "RuntimeError", "StopIteration: all"),
        (SystemExit(3), "SystemExit", "3"),
        (ValueError("é" * 5_000), "ValueError", "é" * (limits.ERROR_MESSAGE_BYTES // 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_step_error_says_what_failed(error: BaseException, code: str, message: str) -> None:
    """Name, code and attempts for programs, a message for people; nothing hangs or gets out."""
    found = step_error(run_step(raising(error), retries=Retries(attempts=2)))
    assert (found.name, found.code, found.attempts, str(found)) == ("one", code, 2, message)


def test_a_step_is_tried_again_with_backoff() -> None:
    """Each wait is twice the last, up to the longest."""
    outcome = run_step(fail, retries=Retries(attempts=5, backoff="1s", longest="3s"))
    assert step_error(outcome).attempts == 5
    assert outcome.slept_ms == 1_000 + 2_000 + 3_000 + 3_000
    assert outcome.steps == ["one"]


def test_a_step_that_succeeds_in_the_end_has_succeeded() -> None:
    """Only its result remains."""
    tries = iter([OSError(), OSError()])

    def flaky() -> str:
        for error in tries:
            raise error
        return "at last"

    assert run_step(flaky, retries=Retries()).results == {"one": "at last"}


def test_some_errors_are_never_tried_again() -> None:
    """`never` names them, subclasses included."""
    retries = Retries(never=(LookupError, OSError))
    assert step_error(run_step(fail, retries=retries)).attempts == 1
    assert step_error(run_step(raising(ValueError()), retries=retries)).attempts == 4


def test_a_step_may_have_retries_of_its_own() -> None:
    """The function's own remain as they were."""

    async def two(ctx: Context) -> None:
        with pytest.raises(StepError) as raised:
            await ctx.step.with_retries(Retries(attempts=2)).run("two", fail)
        assert raised.value.attempts == 2
        await ctx.step.run("three", fail)

    assert step_error(run(two, retries=Retries(attempts=3))).attempts == 3


def test_a_function_may_go_on_after_a_failed_step() -> None:
    """A StepError is an Exception like others."""

    async def resilient(ctx: Context) -> None:
        try:
            await ctx.step.run("one", fail)
        except StepError:
            await ctx.step.run("other", load)

    assert run(resilient).results == {"other": "loaded"}


# What was recorded


def test_a_recorded_step_is_not_executed_again() -> None:
    """Neither one with a result nor one that failed for good; a sleep ends when it would have."""
    seen: list[object] = []

    async def three(ctx: Context) -> None:
        seen.append((ctx.attempt, await ctx.step.run("one", load)))
        with pytest.raises(StepError) as raised:
            await ctx.step.run("two", load)
        seen.append((raised.value.name, raised.value.code, raised.value.attempts))
        await ctx.step.sleep("wait", "1h")

    failure = StepError("two", "Boom", 4, "it burst")
    wakes = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
    recorded = {"one": [1], "two": failure, "wait": wakes}
    outcome = run(three, attempt=2, recorded=recorded, now=NOW)
    assert seen == [(2, [1]), ("two", "Boom", 4)]
    assert (outcome.steps, outcome.slept_ms) == ([], 5_000)


def test_repeated_names_are_numbered() -> None:
    """So each has an outcome of its own, in the order in which the function takes them."""

    async def thrice(ctx: Context) -> None:
        for number in range(3):
            await ctx.step.run("load", double, number)

    outcome = run(thrice, recorded={"load:1": "known"})
    assert outcome.results == {"load": 0, "load:1": "known", "load:2": 4}
    assert outcome.steps == ["load", "load:2"]


def test_a_name_that_looks_like_a_number_of_another_is_refused() -> None:
    """Two steps never share an outcome."""

    async def colliding(ctx: Context) -> None:
        await ctx.step.run("load:1", load)
        await ctx.step.run("load", load)
        await ctx.step.run("load", load)

    outcome = run(colliding)
    assert isinstance(outcome.error, ValueError)
    assert "two steps are called 'load:1'" in str(outcome.error)


@pytest.mark.parametrize(
    ("name", "fits"), [("", False), ("x" * 250, True), ("x" * 251, False), ("\udcff", False)]
)
def test_a_name_has_a_bound(name: str, fits: bool) -> None:
    """It goes into a record's key, with its number."""

    async def named(ctx: Context) -> None:
        await ctx.step.run(name, load)

    assert isinstance(run(named).error, ValueError) is not fits


@pytest.mark.parametrize("recorded", [{"one": 1}, {"two": datetime(2026, 1, 31, tzinfo=UTC)}])
def test_a_step_that_became_another_kind_is_refused(recorded: dict[str, Any]) -> None:
    """A sleep has no result and a step no end: the function was changed under the run."""

    async def changed(ctx: Context) -> None:
        await ctx.step.sleep("one", "1s")
        await ctx.step.run("two", load)

    outcome = run(changed, recorded=recorded, now=NOW)
    assert isinstance(outcome.error, RuntimeError)
    assert "give changed steps new names" in str(outcome.error)


def test_a_step_has_no_steps_of_its_own() -> None:
    """They would be left out where the outer one was recorded."""

    async def nested(ctx: Context) -> None:
        async def outer() -> None:
            await ctx.step.run("inner", load)

        await ctx.step.run("outer", outer)

    error = step_error(run(nested))
    assert (error.name, error.code) == ("outer", "RuntimeError")
    assert "steps of its own" in str(error)


def test_a_step_sees_the_context_of_its_function() -> None:
    """Context variables reach coroutines and threads."""
    tenant: ContextVar[str] = ContextVar("tenant")

    async def both(ctx: Context) -> None:
        async def here() -> str:
            return tenant.get()

        tenant.set("ann")
        await ctx.step.run("here", here)
        await ctx.step.run("thread", tenant.get)

    assert run(both).results == {"here": "ann", "thread": "ann"}


# Sleeps


@pytest.mark.parametrize(
    ("instant", "slept_ms"),
    [
        ("2026-01-31T12:00:10Z", 10_000),
        ("2026-01-31T13:00:10+01:00", 10_000),
        ("2026-01-31T23:59:60Z", (12 * 3_600 - 1) * 1_000),
        (datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC), 1_000),
        ("2026-01-31T11:00:00Z", 0),
    ],
)
def test_a_run_sleeps_until_an_instant(instant: str | datetime, slept_ms: int) -> None:
    """As text or as a datetime; one that has passed costs nothing."""

    async def until(ctx: Context) -> None:
        await ctx.step.sleep_until("morning", instant)

    outcome = run(until, now=NOW)
    assert (outcome.status, outcome.slept_ms) == ("completed", slept_ms)


@pytest.mark.parametrize(
    ("instant", "why"),
    [
        (datetime(2026, 1, 31), "time zone"),  # noqa: DTZ001  # it is what is refused
        ("2026-01-31T12:00:00", "zone|instant"),
        ("tomorrow", "instant"),
        ("2027-01-31T12:00:00Z", "pending_for 30d"),
    ],
)
def test_no_run_sleeps_until_what_is_no_instant(instant: str | datetime, why: str) -> None:
    """Without a zone, not an instant at all, or beyond the life of a run."""

    async def until(ctx: Context) -> None:
        await ctx.step.sleep_until("morning", instant)

    outcome = run(until, now=NOW)
    assert isinstance(outcome.error, ValueError)
    assert re.search(why, str(outcome.error))


@pytest.mark.parametrize("duration", ["10s", timedelta(seconds=10)])
def test_a_sleep_may_be_text_or_timedelta(duration: str | timedelta) -> None:
    """Both mean the same."""

    async def sleeping(ctx: Context) -> None:
        await ctx.step.sleep("wait", duration)

    assert run(sleeping).slept_ms == 10_000


@pytest.mark.parametrize(
    "duration", ["0s", "0d", "-5m", "-400d", timedelta(0), timedelta(microseconds=-1),
                 timedelta(days=-1), timedelta.min, timedelta(microseconds=499)], ids=str,
)  # fmt: skip
def test_a_sleep_of_zero_or_less_is_over_at_once(duration: str | timedelta) -> None:
    """As one until an instant that has passed: what is left of a time may be nothing."""

    async def sleeping(ctx: Context) -> None:
        await ctx.step.sleep("wait", duration)
        await ctx.step.run("load", load)

    def blocking(ctx: BlockingContext) -> None:
        ctx.step.sleep("wait", duration)
        ctx.step.run("load", load)

    for call in (sleeping, blocking):
        outcome = run(call)
        assert (outcome.status, outcome.slept_ms, outcome.attempts) == ("completed", 0, 1)
        assert outcome.steps == ["load"]


@pytest.mark.parametrize("duration", ["-", "", "--5s", "5", "soon", "367d", timedelta(days=367)])
def test_no_run_sleeps_for_what_is_no_duration(duration: str | timedelta) -> None:
    """Or for longer than any run is kept."""

    async def sleeping(ctx: Context) -> None:
        await ctx.step.sleep("wait", duration)

    outcome = run(sleeping)
    assert isinstance(outcome.error, ValueError)
    assert re.search("not a duration|at most 366d", str(outcome.error))


def test_a_long_sleep_ends_the_attempt() -> None:
    """The function is called again, and gets the outcomes that were recorded."""
    attempts = []

    async def patient(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        await ctx.step.run("load", load)
        await ctx.step.sleep("day", "24h")
        await ctx.step.run("render", load)

    outcome = run(patient)
    assert attempts == [1, 2]
    assert (outcome.steps, outcome.attempts) == (["load", "render"], 2)
    assert outcome.slept_ms == limits.DAY_MS
