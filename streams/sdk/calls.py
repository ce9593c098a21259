"""Calls functions and cleanups, for workers and for the testing kit."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar, cast

from streams import logs
from streams.sdk.app import CleanUp, Function
from streams.sdk.cancelled_run import CancelledRun, Event
from streams.sdk.context import BlockingContext, BlockingStep, Context, Step
from streams.sdk.execution import Execution, described

T = TypeVar("T")

log = logs.get(__name__)


async def call_function(
    function: Function, execution: Execution, event: Event, executor: Executor
) -> BaseException | None:
    """Call a function, and wait until all its steps have ended; returns the error it raised."""
    try:
        await _call(function, execution, event, executor)
    except BaseException as error:  # the caller decides what it means
        if not (execution.cancelled or execution.suspended):
            log.exception("A run failed", run_id=execution.run_id, error=described(error))
        return error
    finally:
        await execution.finish()
    return None


async def call_cleanup(call: CleanUp, run: CancelledRun, executor: Executor) -> None:
    """Call a cleanup, in a thread if it isn't a coroutine; raises what the cleanup raises."""
    if inspect.iscoroutinefunction(call):
        await call(run)
        return
    error = await asyncio.get_running_loop().run_in_executor(executor, _raised, call, run)
    if error is not None:
        raise error


async def _call(function: Function, execution: Execution, event: Event, executor: Executor) -> None:
    if not function.blocking:
        step = Step(execution, executor, function.retries)
        coroutine = cast("Callable[[Context], Awaitable[object]]", function.call)
        await coroutine(Context(execution, event, step))
        return
    loop = asyncio.get_running_loop()
    blocking = BlockingStep(execution, loop, function.retries)
    call = cast("Callable[[BlockingContext], object]", function.call)
    context = BlockingContext(execution, event, blocking)
    error = await loop.run_in_executor(executor, _raised, call, context)
    if error is not None:
        raise error


def _raised(call: Callable[[T], object], argument: T) -> BaseException | None:
    """Call a function and return its error: asyncio lets a raised SystemExit end the loop."""
    try:
        call(argument)
    except BaseException as error:  # noqa: BLE001  # the caller raises it
        return error
    return None
