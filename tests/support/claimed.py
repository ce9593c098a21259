"""Runs as a worker's parts see them, and a loop that goes on for them."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from streams.sdk import App, Context
from streams.sdk.app import Function
from topology import keys
from topology.records import RunRecord

WORKER = "worker-1"
EVENT = Raw(b'{"name":"report/requested","id":"e1","ts":1,"data":{}}')


def run_id(number: int = 0) -> str:
    """The id of one of many runs."""
    return keys.run_id_text(keys.run_id(1_700_000_000_000 + number, bytes(16), bytes(16)))


def run_record(number: int = 0, **fields: Any) -> RunRecord:
    """A run that is dispatched for the second time, but for these fields."""
    record = RunRecord(
        run_id=run_id(number),
        function_id="reports-generate",
        app_id="reports",
        status="scheduled",
        attempt=2,
        dispatch=True,
        scheduled_at=1_700_000_000_000,
        event=EVENT,
    )
    return msgspec.structs.replace(record, **fields)


def function() -> Function:
    """A function that does nothing."""
    app = App("reports")

    @app.function(id="generate", trigger="report/requested")
    async def generate(_ctx: Context) -> None:
        """Does nothing."""

    return app.functions["generate"]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # nobody sets an event for each of them
            await asyncio.sleep(0)


async def a_while() -> None:
    """Let the loop go on for longer than anything takes that is done at once."""
    for _ in range(100):
        await asyncio.sleep(0)
