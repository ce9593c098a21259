"""`countermand demo`: a scripted scenario on a Kafka of its own, and what was cancelled and why."""

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from streams.cli import options
from streams.cli.cancelled import cause_text
from streams.cli.console import cell, console, json_out, say
from streams.cli.exits import ExitCode
from streams.cli.settings import load_settings
from streams.cli.up import end_on_signals
from streams.local.demo import EXPECTED, Expected, Outcome, play
from streams.local.stack import Stack

_KEPT_VARIABLE: Final = "COUNTERMAND_CACHE_DIR"


def demo(*, json: options.Json = False) -> None:
    """Play a scenario on a Kafka of its own; exit code 0 only if every run went as it must."""
    for name in [name for name in os.environ if name.startswith("COUNTERMAND_")]:
        # The demo is on its own broker, whatever cluster the environment speaks of.
        if name != _KEPT_VARIABLE:
            del os.environ[name]
    settings = load_settings()
    end_on_signals()
    with (
        tempfile.TemporaryDirectory(prefix="countermand-demo-") as folder,
        Stack(settings, Path(folder), say=say) as stack,
    ):
        outcome = play(stack, say)
    if json:
        runs = [_as_json(expected, outcome) for expected in EXPECTED]
        json_out({"ok": outcome.complete(), "runs": runs})
    else:
        _draw(EXPECTED, outcome)
    if not outcome.complete():
        say("this is not what was to be: please report it with the table above")
        raise typer.Exit(ExitCode.FAILED)
    count = sum(expected.cause is not None for expected in EXPECTED)
    say(f"{count} of {len(EXPECTED)} runs cancelled, each by exactly one event, as they must be")
    say("to see and cancel runs of your own in the dashboard: `make up`, and open its link")


def _draw(expected: tuple[Expected, ...], outcome: Outcome) -> None:
    """The table: each run, what became of it, by what, and why that is right."""
    drawn = Table(title="What was cancelled, and why", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("function", "event", "run", "cancelled by", "because", ""):
        drawn.add_column(column, overflow="fold")
    for expectation in expected:
        row = _row(expectation, outcome)
        style = "red" if row[2] == "cancelled" else "green"
        right = outcome.as_expected(expectation)
        sign = Text("✓" if right else "✗", style="green" if right else "bold red")
        cells = [cell(text) for text in row]
        cells[2].stylize(style)
        drawn.add_row(*cells, sign)
    screen = console()
    if not screen.is_terminal:
        screen.width = 160
    screen.print(drawn)


def _row(expected: Expected, outcome: Outcome) -> list[str]:
    run = outcome.runs.get(expected.event_id, {})
    events = outcome.cancelled.get(expected.event_id, [])
    cause = " + ".join(cause_text(event["data"]["cause"]) for event in events)
    return [
        str(run.get("function_id", "none")),
        expected.event_id,
        str(run.get("status", "none")),
        cause,
        expected.why,
    ]


def _as_json(expected: Expected, outcome: Outcome) -> dict[str, Any]:
    function, event_id, status, _, why = _row(expected, outcome)
    events = outcome.cancelled.get(expected.event_id, [])
    return {
        "function_id": function,
        "event_id": event_id,
        "status": status,
        "causes": [event["data"]["cause"] for event in events],
        "because": why,
        "as_expected": outcome.as_expected(expected),
    }
