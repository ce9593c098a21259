"""Plain functions: a thread of their own, in which their steps execute."""

import threading
from contextvars import ContextVar

import pytest

from streams.sdk import BlockingContext, Cancelled, Retries, StepError
from streams.sdk.testing import During
from tests.support.kit import fail, load, run


def test_steps_execute_in_the_thread_of_their_function() -> None:
    """So a connection that belongs to a thread is of use in all of them."""
    threads = set()

    def where() -> None:
        threads.add(threading.current_thread())

    def blocking(ctx: BlockingContext) -> None:
        where()
        ctx.step.run("one", where)
        ctx.step.sleep("wait", "1s")
        ctx.step.run("two", where)

    outcome = run(blocking)
    assert (outcome.status, outcome.slept_ms) == ("completed", 1_000)
    assert len(threads) == 1
    assert threads.isdisjoint({threading.main_thread()})


@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError(), "OSError"), (StopIteration(), "RuntimeError"), (SystemExit(3), "SystemExit")],
)
def test_whatever_a_step_raises_is_a_step_error(error: BaseException, code: str) -> None:
    """Nothing hangs, and nothing ends the worker."""

    def raises() -> None:
        raise error

    def blocking(ctx: BlockingContext) -> None:
        with pytest.raises(StepError) as raised:
            ctx.step.with_retries(Retries(attempts=2)).run("one", raises)
        assert (raised.value.code, raised.value.attempts) == (code, 2)
        ctx.step.run("two", load)

    assert run(blocking).results == {"two": "loaded"}


@pytest.mark.parametrize(
    ("error", "seen"),
    [(StopIteration(), RuntimeError), (SystemExit(3), SystemExit), (OSError(), OSError)],
)
def test_whatever_a_function_raises_fails_its_run(
    error: BaseException, seen: type[BaseException]
) -> None:
    """Also what asyncio would not carry; StopIteration as in any coroutine."""

    def blocking(_ctx: BlockingContext) -> None:
        raise error

    outcome = run(blocking)
    assert (outcome.status, type(outcome.error)) == ("failed", seen)


def test_a_step_sees_the_context_of_its_thread() -> None:
    """Context variables that the function has set."""
    tenant: ContextVar[str] = ContextVar("tenant")

    def blocking(ctx: BlockingContext) -> None:
        tenant.set("ann")
        ctx.step.run("one", tenant.get)

    assert run(blocking).results == {"one": "ann"}


def test_a_cancel_is_raised_in_the_thread() -> None:
    """Where the function can clean up what it has there."""
    cleaned = []

    def blocking(ctx: BlockingContext) -> None:
        try:
            ctx.step.run("one", load)
        except Cancelled:
            cleaned.append(threading.current_thread())
            raise

    assert run(blocking, cancel=During("one")).status == "cancelled"
    assert cleaned != [threading.main_thread()] != []


def test_a_step_has_no_steps_of_its_own() -> None:
    """Neither here."""

    def blocking(ctx: BlockingContext) -> None:
        ctx.step.run("outer", lambda: ctx.step.run("inner", load))

    outcome = run(blocking)
    assert isinstance(outcome.error, StepError)
    assert outcome.error.code == "RuntimeError"


def test_a_long_sleep_ends_the_attempt() -> None:
    """The thread is free meanwhile."""

    def blocking(ctx: BlockingContext) -> None:
        ctx.step.run("load", load)
        ctx.step.sleep_until("morning", "2026-02-01T00:00:00Z")
        ctx.step.run("render", fail)

    outcome = run(blocking, now="2026-01-31T12:00:00Z")
    assert (outcome.status, outcome.attempts) == ("failed", 2)
    assert outcome.steps == ["load", "render"]
