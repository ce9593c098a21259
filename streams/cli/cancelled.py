"""`countermand cancelled tail`: the cancelled events, read committed."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from streams.cli import options
from streams.cli.console import out, say
from streams.cli.exits import ExitCode
from streams.cli.settings import load_settings
from streams.kafka.tail import follow
from topology.topics import CANCELLED

app = typer.Typer(help="Watch cancelled runs.", no_args_is_help=True)

FromBeginning = Annotated[bool, typer.Option("--from-beginning", help="Also what is there.")]
Most = Annotated[int | None, typer.Option("--max", "-n", min=1, help="End after so many.")]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="End when none has come for so many seconds.")
]
Function = Annotated[str | None, typer.Option(help="Only runs of this function (its slug).")]


@app.command()
def tail(
    *,
    from_beginning: FromBeginning = False,
    most: Most = None,
    timeout: Timeout = None,
    function: Function = None,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Print cancelled events as they come; exit code 1 if --max were not there in time."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    topic = settings.topic(CANCELLED)
    seen = 0
    records = follow(
        settings,
        topic,
        from_beginning=from_beginning,
        idle_seconds=timeout,
        on_ready=lambda: say(f"tailing {topic}"),
    )
    for message in records:
        value = message.value()
        event = orjson.loads(value) if value else {}
        if function is not None and event.get("data", {}).get("function_id") != function:
            continue
        out(orjson.dumps(event).decode() if json else line_of(event))
        seen += 1
        if seen == most:
            return
    if most is not None:
        say(f"{seen} of {most} came before the timeout")
        raise typer.Exit(ExitCode.FAILED)


def line_of(event: dict[str, Any]) -> str:
    """A cancelled event in one line: when, which run, why."""
    data = event.get("data", {})
    when = datetime.fromtimestamp(event.get("ts", 0) / 1000, UTC)
    return (
        f"{when:%Y-%m-%dT%H:%M:%S}Z {data.get('run_id')} {data.get('function_id')} "
        f"{cause_text(data.get('cause') or {})}"
    )


def cause_text(cause: dict[str, Any]) -> str:
    """Why a run was cancelled, in a few words."""
    event, rule = cause.get("event") or {}, cause.get("rule") or {}
    words = [str(cause.get("type", "?"))]
    if event.get("name"):
        words.append(str(event["name"]))
    if rule:
        words.append(f"[{rule.get('expression') or 'all runs'}]")
    if cause.get("cancellation_id"):
        words.append(str(cause["cancellation_id"]))
    if cause.get("requested_by"):
        words.append(f"by {cause['requested_by']}")
    return " ".join(words) + (f": {cause['reason']}" if cause.get("reason") else "")
