"""`countermand cancelled tail`: the cancelled events, read committed."""

from typing import Annotated, Any

import orjson
import typer
from confluent_kafka import Message
from msgspec import Struct

from streams.cli import options
from streams.cli.console import out, say
from streams.cli.exits import ExitCode
from streams.cli.settings import load_settings
from streams.durations import format_instant
from streams.kafka.tail import follow
from topology import codec
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
        event = _event(message)
        if event is None or function not in {None, event["data"]["function_id"]}:
            continue
        out(orjson.dumps(event).decode() if json else line_of(event))
        seen += 1
        if seen == most:
            return
    if most is not None:
        say(f"{seen} of {most} came before the timeout")
        raise typer.Exit(ExitCode.FAILED)


class _Data(Struct):
    run_id: str
    function_id: str
    cause: dict[str, Any]


class _Shown(Struct):
    """What is shown of an event."""

    data: _Data


def _event(message: Message) -> dict[str, Any] | None:
    """The event of a record; None, and a word about it, if somebody else has written there."""
    value = message.value()
    data = value if isinstance(value, bytes) else b""
    try:
        codec.decode_json(data, _Shown)
    except codec.CodecError as error:
        place = f"{message.topic()}/{message.partition()}@{message.offset()}"
        say(f"skipped {place}: {error}")
        return None
    event: dict[str, Any] = orjson.loads(data)
    return event


def line_of(event: dict[str, Any]) -> str:
    """A cancelled event in one line: when, which run, why."""
    data, ts = event["data"], event.get("ts")
    when = format_instant(ts - ts % 1_000) if isinstance(ts, int) else "?"
    return f"{when} {data['run_id']} {data['function_id']} {cause_text(data['cause'])}"


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
