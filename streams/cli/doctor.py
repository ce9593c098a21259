"""`countermand doctor`: is everything as the processes need it, and what to do if not."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from streams.cli import options
from streams.cli.console import console, json_out, table
from streams.cli.exits import ExitCode
from streams.cli.settings import load_settings
from streams.doctor.checks import LOCAL_CHECKS, Result, Verdict, run
from streams.doctor.database import database
from streams.doctor.kafka import KAFKA_CHECKS, broker
from streams.errors import CountermandError
from streams.printable import printable, printable_lines
from streams.settings import Settings
from streams.settings.page import effective

_SIGNS: Final = {"ok": "✓", "warning": "!", "failed": "✗"}
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}
ShowSettings = Annotated[
    bool, typer.Option("--settings", help="Also show every setting in effect and its source.")
]


def doctor(
    *,
    show_settings: ShowSettings = False,
    state_dir: options.StateDir = None,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Check settings, disk, codecs, database, broker, topics, clocks; exit code 1 if one fails."""
    settings = load_settings(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        state_dir=state_dir,
    )
    results = []
    for result in _results(settings):
        results.append(result)
        if not json:
            _print(result)
    failed = any(result.verdict.value == "failed" for result in results)
    if json:
        checks = [vars(result) for result in results]
        json_out({"ok": not failed, "checks": checks, "settings": effective(settings)})
    elif show_settings:
        rows = [[row["variable"], row["value"], row["source"]] for row in effective(settings)]
        table("", ["variable", "value", "source"], rows)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _results(settings: Settings) -> Iterator["Result"]:
    """Every check's result; without a broker those that need one are left out."""
    given = sum(settings.source(name) != "default" for name in type(settings).model_fields)
    yield Result("settings", Verdict.OK, f"valid, {given} differ from the defaults")
    yield from run(settings, LOCAL_CHECKS)
    yield from database(settings)
    try:
        reached = broker(settings)
    except CountermandError as error:
        remedy = "Start it, or `countermand up` for one on this machine"
        yield Result("broker", Verdict.FAILED, str(error), remedy)
        return
    yield reached
    yield from run(settings, KAFKA_CHECKS)


def _print(result: Result) -> None:

    verdict = result.verdict.value
    line = Text(_SIGNS[verdict], style=_COLOURS[verdict])
    line.append(f" {result.name}: {printable(result.found)}", style="default")
    if result.remedy:
        line.append(f"\n  → {printable_lines(result.remedy)}", style="default")
    console().print(line, soft_wrap=True)
