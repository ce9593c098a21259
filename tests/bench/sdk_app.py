"""The functions that `tests.bench.sdk` measures; each tells a file when it begins and ends."""

import os
import time
from pathlib import Path
from typing import Final

from streams.sdk import App, Cancelled, Context

VARIABLE: Final = "BENCH_SDK_LOG"
STEPS: Final = 20
SLEEP: Final = "10m"

app = App("bench")
log = Path(os.environ.get(VARIABLE, os.devnull)).open("a", buffering=1, encoding="ascii")  # noqa: SIM115  # for the life of the process


def _say(what: str, ctx: Context) -> None:
    """A line: what, of which number, when by the clock that all processes share."""
    print(what, ctx.event.data["number"], time.perf_counter(), file=log)


async def empty() -> None:
    """A step that does nothing."""


@app.function(
    id="sleeper",
    trigger="sleeper/requested",
    cancel_on=[{"event": "sleeper/cancelled", "match": "data.number"}],
)
async def sleeper(ctx: Context) -> None:
    """A run that is cancelled in its sleep."""
    try:
        await ctx.step.sleep("long", SLEEP)
    except Cancelled:
        _say("stopped", ctx)
        raise


@app.function(id="stepper", trigger="stepper/requested")
async def stepper(ctx: Context) -> None:
    """A run that does nothing but record steps."""
    _say("began", ctx)
    for _ in range(STEPS):
        await ctx.step.run("empty", empty)
    _say("ended", ctx)
