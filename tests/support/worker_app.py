"""An app whose runs do what their events say, step by step, and write down what they did.

The data of an event: `work`, the run's name; `folder`, where things are written; `plan`, what is
done in this order:

- `NAME`: a step, a coroutine; `slow NAME`: one in a thread that takes `pause` seconds
- `hold NAME`: a step, in a thread, that ends when the work's gate is open
- `block NAME`: as `hold`, but a coroutine, which lets nothing else happen meanwhile
- `fail NAME`: a step that fails; `shout NAME`: with a code of 3 MB
- `large NAME BYTES`: a step whose result has so many bytes, and can't be compressed
- `sleep NAME DURATION`
"""

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from streams.sdk import App, BlockingContext, Cancelled, CancelledRun, Context, Retries
from tests.support.deadline import eventually

NAME: Final = os.environ.get("TEST_APP", "shop")
MARKS: Final = "marks.jsonl"
_GATE_S: Final = 300
_RULES: Final = [{"event": f"{NAME}/cancelled", "match": "data.work"}]

app = App(
    NAME,
    lease=os.environ.get("TEST_LEASE", "60s"),
    retries=Retries(attempts=2, backoff="1ms"),
)


def gate_of(data: dict[str, Any]) -> Path:
    """The file that lets a work's held steps end."""
    return Path(data["folder"]) / f"{data['work']}.gate"


def mark(data: dict[str, Any], what: str, **fields: object) -> None:
    """Write down at once, and for every process to see, what happens."""
    line = {"work": data["work"], "what": what, "pid": os.getpid(), "at": time.monotonic_ns()}
    with (Path(data["folder"]) / MARKS).open("ab", buffering=0) as file:
        file.write(orjson.dumps(line | fields) + b"\n")


class LoudError(Exception):
    """An error whose code is larger than any record."""

    code = "LOUD" * 750_000


class Act:
    """A step: marks its begin, with what the run knows of a cancel then, and its end."""

    def __init__(self, ctx: Context | BlockingContext, step: str) -> None:
        self._ctx = ctx
        self._step = step

    def mark(self, what: str) -> None:
        """Write down that the step begins or ends."""
        ctx = self._ctx
        mark(ctx.event.data, what, step=self._step, attempt=ctx.attempt, cancelled=ctx.cancelled)

    async def quick(self) -> str:
        """Take no time."""
        return self._do(lambda: None)

    def slow(self) -> str:
        """Take some time."""
        return self._do(lambda: threading.Event().wait(self._ctx.event.data["pause"]))

    def hold(self) -> str:
        """Wait until the gate is open."""
        return self._do(lambda: eventually(gate_of(self._ctx.event.data).exists, _GATE_S))

    async def block(self) -> str:
        """Wait until the gate is open, and let no other coroutine go on."""
        return self.hold()

    def shout(self) -> str:
        """Fail with more to say than a record holds."""
        self.mark("begin")
        raise LoudError

    def large(self, size: int) -> str:
        """Return so many characters."""
        self.mark("begin")
        return secrets.token_hex(size // 2)

    def fail(self) -> str:
        """Fail, once the gate is open where there is one."""
        self.mark("begin")
        if self._ctx.event.data.get("gated"):
            eventually(gate_of(self._ctx.event.data).exists, _GATE_S)
        raise LookupError(f"no such thing as {self._step}")

    def _do(self, how: Callable[[], object]) -> str:
        self.mark("begin")
        how()
        self.mark("end")
        return self._step


async def follow(ctx: Context, item: str) -> None:
    """Do one item of a plan."""
    match item.split():
        case ["sleep", name, duration]:
            await ctx.step.sleep(name, duration)
        case ["large", name, size]:
            await ctx.step.run(name, Act(ctx, name).large, int(size))
        case [name]:
            assert await ctx.step.run(name, Act(ctx, name).quick) == name
        case [kind, name]:
            assert await ctx.step.run(name, getattr(Act(ctx, name), kind)) == name


@app.function(id="work", trigger=f"{NAME}/work", cancel_on=_RULES)
async def work(ctx: Context) -> None:
    """Do what the plan says."""
    for item in ctx.event.data["plan"]:
        await follow(ctx, item)


@app.function(id="stubborn", trigger=f"{NAME}/stubborn", cancel_on=_RULES)
async def stubborn(ctx: Context) -> None:
    """Do what the plan says, and let no error stop it."""
    for item in ctx.event.data["plan"]:
        try:
            await follow(ctx, item)
        except Exception as error:  # noqa: BLE001  # what must not swallow a cancel
            mark(ctx.event.data, "swallowed", error=repr(error))


@app.function(id="tidy", trigger=f"{NAME}/tidy", cancel_on=_RULES)
async def tidy(ctx: Context) -> None:
    """Do what the plan says, and tidy up after a cancel; raise it again, or return (`returns`)."""
    try:
        for item in ctx.event.data["plan"]:
            await follow(ctx, item)
    except Cancelled as cancelled:
        mark(ctx.event.data, "tidied", code=cancelled.code, cause=cancelled.cause)
        if not ctx.event.data["returns"]:
            raise


@app.function(id="blocking", trigger=f"{NAME}/blocking", cancel_on=_RULES)
def blocking(ctx: BlockingContext) -> None:
    """Do what the plan says, without a coroutine."""
    for item in ctx.event.data["plan"]:
        match item.split():
            case ["sleep", name, duration]:
                ctx.step.sleep(name, duration)
            case [kind, name]:
                assert ctx.step.run(name, getattr(Act(ctx, name), kind)) == name


async def clean_up(run: CancelledRun) -> None:
    """Mark that the run's cleanup was called; hang until the gate is open, if it `hangs`."""
    mark(run.event.data, "cleanup", status_before=run.status_before, cause=run.cause["type"])
    if run.event.data.get("hangs"):
        await asyncio.to_thread(eventually, gate_of(run.event.data).exists, _GATE_S)


for one in list(app.functions):
    app.on_cancelled(function=one)(clean_up)

# Of another app, perhaps; or mistyped.
app.on_cancelled(function="of-nobody")(clean_up)
