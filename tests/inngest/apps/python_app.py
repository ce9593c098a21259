"""The functions that tests run with Inngest's SDK for Python; `node_app.mjs` has the same.

Each step writes a line to the file MARKS; a held one ends when a file of its id appears in GATES.
"""

import asyncio
import datetime as dt
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

import fastapi
import inngest
import inngest.fast_api
import uvicorn

from tests.support.deadline import eventually

APP, GATES, MARKS = (os.environ[name] for name in ("APP", "GATES", "MARKS"))
RELEASE = os.environ.get("RELEASE", "1")
client = inngest.Inngest(app_id=APP)
HELD_S = 300
LINKS = 6
PAUSE = threading.Event()
TRIES: Counter[str] = Counter()


def mark(what: str, id_: object) -> None:
    """Write a line, with the time (ms)."""
    with Path(MARKS).open("a", encoding="utf-8") as marks:
        line = {"what": what, "id": id_, "at": time.time_ns() // 1_000_000}
        marks.write(json.dumps(line) + "\n")


@client.create_function(
    fn_id="report",
    trigger=inngest.TriggerEvent(event="report/requested"),
    cancel=[
        inngest.Cancel(
            event="report/cancelled", if_exp="event.data.reportId == async.data.reportId"
        )
    ],
)
async def report(ctx: inngest.Context) -> None:
    """Three steps, of which the second may be held."""
    id_ = str(ctx.event.data["reportId"])

    async def load() -> dict[str, int]:
        mark("load", id_)
        return {"pages": 2}

    async def render() -> None:
        mark("render", id_)
        if ctx.event.data.get("hold"):
            await asyncio.to_thread(eventually, (Path(GATES) / id_).exists, HELD_S)

    async def check() -> None:
        mark("check", id_)

    async def save() -> None:
        mark(f"save {loaded['pages']}", id_)

    loaded = await ctx.step.run("load", load)

    await ctx.step.run("render", render)
    if RELEASE == "2":
        await ctx.step.run("check", check)
    await ctx.step.run("save", save)


@client.create_function(
    fn_id="cleanup",
    trigger=inngest.TriggerEvent(
        event="inngest/function.cancelled",
        expression=f"event.data.function_id == '{APP}-report'",
    ),
)
async def cleanup(ctx: inngest.Context) -> None:
    """Tells of a cancelled report."""

    async def clean() -> None:
        mark(ctx.event.name, ctx.event.data["event"]["data"]["reportId"])  # type: ignore[index, call-overload]  # JSON

    await ctx.step.run("clean", clean)


@client.create_function(
    fn_id="reminder",
    trigger=inngest.TriggerEvent(event="reminder/created"),
    cancel=[inngest.Cancel(event="reminder/deleted", if_exp="event.data.id == async.data.id")],
)
async def reminder(ctx: inngest.Context) -> None:
    """Sleeps, then pushes."""

    async def push() -> None:
        mark("push", ctx.event.data["id"])

    at = dt.datetime.fromisoformat(str(ctx.event.data["at"]))
    await ctx.step.sleep_until("until", at)
    await ctx.step.run("push", push)


@client.create_function(fn_id="parallel", trigger=inngest.TriggerEvent(event="parallel/requested"))
async def parallel(ctx: inngest.Context) -> None:
    """Two steps and a sleep beside each other."""
    id_ = ctx.event.data["id"]

    async def side(what: str, of: str) -> str:
        mark(what, id_)
        return of

    both = await ctx.group.parallel(
        (
            lambda: ctx.step.run("left", side, "left", "L"),
            lambda: ctx.step.run("right", side, "right", "R"),
            lambda: ctx.step.sleep("nap", 1_000),
        )
    )

    async def join() -> None:
        mark(f"joined {both[0]}{both[1]}", id_)

    await ctx.step.run("join", join)


@client.create_function(
    fn_id="flaky", retries=1, trigger=inngest.TriggerEvent(event="flaky/requested")
)
async def flaky(ctx: inngest.Context) -> None:
    """A step that needs a second try, and one that fails and is caught."""
    id_ = str(ctx.event.data["id"])

    async def second() -> None:
        TRIES[id_] += 1
        mark(f"try {TRIES[id_]}", id_)
        if TRIES[id_] < 2:
            raise inngest.RetryAfterError("not yet", 1_000)

    async def never() -> None:
        raise RuntimeError("out of paper")

    await ctx.step.run("second", second)
    caught = ""
    try:
        await ctx.step.run("never", never)
    except inngest.StepError as error:
        caught = error.message

    async def after() -> None:
        mark(f"caught {caught}", id_)

    await ctx.step.run("after", after)


@client.create_function(
    fn_id="chain",
    trigger=inngest.TriggerEvent(event="chain/requested"),
    cancel=[
        inngest.Cancel(event="chain/cancelled", if_exp="event.data.id == async.data.id"),
    ],
)
async def chain(ctx: inngest.Context) -> None:
    """Some steps and a sleep, one after the other."""
    id_ = ctx.event.data["id"]

    async def link(number: int) -> int:
        mark(f"link {number}", id_)
        await asyncio.to_thread(PAUSE.wait, 0.1)
        return number

    for number in range(LINKS):
        await ctx.step.run(f"link {number}", link, number)
        if number == LINKS // 2:
            await ctx.step.sleep("nap", 1_000)


@client.create_function(fn_id="relay", trigger=inngest.TriggerEvent(event="relay/requested"))
async def relay(ctx: inngest.Context) -> None:
    """Asks for a report."""
    data = {"reportId": ctx.event.data["id"]}
    await ctx.step.send_event("ask", inngest.Event(name="report/requested", data=data))


async def on_failure(ctx: inngest.Context) -> None:
    """Tells of a failure."""
    error, event = ctx.event.data["error"], ctx.event.data["event"]
    mark(f"failed {error['message']}", event["data"]["id"])  # type: ignore[index, call-overload]  # JSON


@client.create_function(
    fn_id="doomed",
    retries=0,
    on_failure=on_failure,
    trigger=inngest.TriggerEvent(event="doomed/requested"),
)
async def doomed(ctx: inngest.Context) -> None:
    """Fails."""
    raise RuntimeError("as asked")


app = fastapi.FastAPI()
inngest.fast_api.serve(
    app, client, [report, cleanup, reminder, parallel, flaky, chain, relay, doomed]
)

if __name__ == "__main__":
    mark("up", "")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
