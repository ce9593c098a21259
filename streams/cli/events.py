"""`countermand events send`: one event from flags or JSON, or many from a file or stdin."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import orjson
import typer

from streams.cli import options
from streams.cli.console import json_out, progress, say
from streams.cli.settings import load_settings
from streams.errors import NotFoundError, RefusedError
from streams.kafka.producers import Sender
from topology.topics import EVENTS

app = typer.Typer(help="Produce events.", no_args_is_help=True)
_STDIN: Final = "-"
_EARLIER: Final = "Earlier lines may have been sent"

Event = Annotated[str | None, typer.Argument(help="The event as JSON.", show_default=False)]
Name = Annotated[str | None, typer.Option(help="The event's name.")]
Data = Annotated[str | None, typer.Option(help="The event's data, a JSON object.")]
Id = Annotated[str | None, typer.Option("--id", help="The event's id.")]
Ts = Annotated[int | None, typer.Option(help="The event's ts, ms.")]
User = Annotated[str | None, typer.Option(help="The event's user, a JSON object.")]
File = Annotated[str | None, typer.Option("--file", "-f", help="JSONL file, or - for stdin.")]
Topic = Annotated[str | None, typer.Option(help="Topic.", show_default="<prefix>events")]
Key = Annotated[str | None, typer.Option(help="Record key.")]
Raw = Annotated[bool, typer.Option("--raw", help="Send as it is: a topic with a mapping.")]


@app.command()
def send(
    event: Event = None,
    *,
    name: Name = None,
    data: Data = None,
    id_: Id = None,
    ts: Ts = None,
    user: User = None,
    file: File = None,
    topic: Topic = None,
    key: Key = None,
    raw: Raw = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Send events and wait until Kafka has acknowledged all of them."""
    fields = {"name": name, "data": data, "id": id_, "ts": ts, "user": user}
    given = {field: value for field, value in fields.items() if value is not None}
    if sum([event is not None, bool(given), file is not None]) != 1:
        raise typer.BadParameter("give one of: an event as JSON, --name and --data, --file")
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    target = topic or settings.topic(EVENTS)
    record_key = None if key is None else key.encode()
    with Sender(settings) as sender:
        if file is not None:
            lines = _checked_lines(file, raw=raw)
        else:
            lines = iter([_checked(event.encode(), "event", raw=raw) if event else _made(given)])
        for line in lines:
            sender.send(target, line, key=record_key)
    last = sender.last
    at = {} if last is None or file else {"partition": last.partition(), "offset": last.offset()}
    if json:
        json_out({"topic": target, "sent": sender.acknowledged, **at})
    else:
        say(f"{sender.acknowledged} sent to {target}" + "".join(f" {k}={v}" for k, v in at.items()))


def _made(fields: dict[str, Any]) -> bytes:
    """An event from flags."""
    if "name" not in fields:
        raise typer.BadParameter("an event needs a name", param_hint="--name")
    for field in {"data", "user"} & fields.keys():
        try:
            fields[field] = orjson.loads(fields[field])
        except orjson.JSONDecodeError as error:
            raise typer.BadParameter(f"not JSON: {error}", param_hint=f"--{field}") from None
        if not isinstance(fields[field], dict):
            raise typer.BadParameter("a JSON object is needed", param_hint=f"--{field}")
    return orjson.dumps({"data": {}} | fields)


def _checked_lines(file: str, *, raw: bool) -> Iterator[bytes]:
    """The events of a JSONL file or stdin, empty lines left out, with a progress bar."""
    with ExitStack() as stack:
        source: BinaryIO = sys.stdin.buffer
        total = None
        if file != _STDIN:
            try:
                source = stack.enter_context(Path(file).open("rb"))
            except OSError as error:
                raise NotFoundError(f"Can't read {file}: {error.strerror}") from None
            total = Path(file).stat().st_size
        bar = stack.enter_context(progress(unit="bytes"))
        task = bar.add_task("sending", total=total)
        for number, line in enumerate(source, start=1):
            bar.advance(task, len(line))
            if line.strip():
                yield _checked(line.strip(), f"{file}:{number}", raw=raw)


def _checked(line: bytes, where: str, *, raw: bool) -> bytes:
    """The line, if it is an event."""
    if raw:
        return line
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RefusedError(f"{where}: not JSON: {error}. {_EARLIER}") from None
    if not isinstance(event, dict) or not isinstance(event.get("name"), str):
        raise RefusedError(
            f"{where}: an event is a JSON object with a name (--raw sends anything). {_EARLIER}"
        )
    return line
