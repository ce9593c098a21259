"""`countermand dead-letters`: list records that could not be processed, and send them again."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from streams.cli import options
from streams.cli.console import confirm, json_out, out, progress, say, table
from streams.cli.settings import load_settings
from streams.durations import format_instant
from streams.errors import NotFoundError, RefusedError
from streams.kafka.dead_letters import Letter, Wanted, plan, read_letters
from streams.kafka.dead_letters import redrive as send_again
from streams.kafka.producers import Sender
from streams.settings import Settings

app = typer.Typer(help="Records that could not be taken.", no_args_is_help=True)

Stage = Annotated[str | None, typer.Option(help="Only of this stage (router, joiner).")]
Kind = Annotated[str | None, typer.Option("--class", help="Only of this class of error.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Most = Annotated[int | None, typer.Option("--max", "-n", min=1, help="At most so many.")]
Value = Annotated[bool, typer.Option("--show-value", help="Print the bytes too.")]
Positions = Annotated[
    list[str] | None, typer.Argument(help="PARTITION:OFFSET, as `list` shows.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="Every dead letter that the filters leave.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")]


@app.command(name="list")
def list_letters(
    *,
    stage: Stage = None,
    kind: Kind = None,
    topic: Topic = None,
    most: Most = None,
    show_value: Value = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """List dead letters with what was wrong; with --json one object per line."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    letters = read_letters(settings, Wanted(stage=stage, kind=kind, topic=topic))
    rows = []
    for letter in islice(letters, most):
        if json:
            json_out(_as_json(letter, show_value=show_value))
        else:
            rows.append(_row(letter, show_value=show_value))
    if not json and rows:
        columns = ["position", "time", "from", "stage", "class", "message", "headers"]
        table("", columns + ["value"] * show_value, rows)
    if not json:
        say(f"{len(rows)} dead letters")


@app.command()
def redrive(
    positions: Positions = None,
    *,
    all_: All = False,
    stage: Stage = None,
    kind: Kind = None,
    topic: Topic = None,
    dry_run: DryRun = False,
    yes: options.Yes = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Send the original bytes, key and headers of dead letters back to their topics."""
    if bool(positions) == all_:
        raise typer.BadParameter("give positions, or --all")
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    wanted = Wanted(frozenset(positions or ()), stage, kind, topic)
    letters = list(read_letters(settings, wanted))
    missing = wanted.positions - {letter.position for letter in letters}
    if missing:
        raise NotFoundError(f"No such dead letter: {', '.join(sorted(missing))}")
    planned = plan(letters, settings)
    for letter in letters:
        if letter.position in planned.skipped:
            why = planned.skipped[letter.position]
            say(f"skipped {letter.position} (from {letter.origin}): {why}")
    if planned.ready and not dry_run:
        _ask(planned.targets, yes=yes)
        _send(settings, planned.ready)
    sent, skipped = 0 if dry_run else len(planned.ready), len(planned.skipped)
    if json:
        result = {"found": len(letters), "sent": sent, "skipped": skipped}
        json_out({**result, "topics": dict(planned.targets), "dry_run": dry_run})
        return
    for name, count in sorted(planned.targets.items()):
        out(f"{'would send' if dry_run else 'sent'} {count} to {name}")
    say(f"{sent} sent, {skipped} skipped; they stay listed until they expire")


def _ask(targets: Counter[str], *, yes: bool) -> None:
    what = ", ".join(f"{count} to {name}" for name, count in sorted(targets.items()))
    if not confirm(f"Send {what}?", yes=yes):
        raise RefusedError(f"Nothing was sent ({what} wait): add --yes to go ahead")


def _send(settings: Settings, letters: Sequence[Letter]) -> None:

    with Sender(settings) as sender, progress(unit="records") as bar:
        for letter in bar.track(letters, description="sending"):
            send_again(letter, sender)


def _row(letter: Letter, *, show_value: bool) -> list[str]:
    time = format_instant(letter.time)
    error = [letter.error.get(name, "") for name in ("stage", "class", "message")]
    headers = " ".join(f"{name}={_text(value)}" for name, value in letter.headers)
    value = [_text(letter.value)] if show_value else []
    return [letter.position, time, letter.origin, *error, headers, *value]


def _as_json(letter: Letter, *, show_value: bool) -> dict[str, object]:
    return {
        "position": letter.position,
        "time": letter.time,
        "key": _text(letter.key),
        "error": letter.error,
        "headers": {name: _text(value) for name, value in letter.headers},
        "bytes": None if letter.value is None else len(letter.value),
    } | ({"value": _text(letter.value)} if show_value else {})


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="backslashreplace")
