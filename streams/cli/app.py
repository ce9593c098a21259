"""The command tree of `countermand`."""

from collections.abc import Callable
from typing import Annotated

import typer

from streams.cli import (
    api,
    audit,
    cancel,
    cancellations,
    cancelled,
    dead_letters,
    demo,
    doctor,
    events,
    explain,
    functions,
    keys,
    pauses,
    read_model,
    replays,
    runs,
    services,
    topics,
    up,
    worker,
)
from streams.cli.exits import Commands

_EXITS = (
    "Exit codes: 0 ok, 1 failed, 2 wrong use or settings, 3 not found, 4 refused, "
    "5 Kafka or API unreachable, 6 topics missing or wrong, 7 database unusable. "
    "Settings: COUNTERMAND_* variables."
)

app = typer.Typer(
    cls=Commands,
    help="Cancels pending work from Kafka events.",
    epilog=_EXITS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Cancels pending work from Kafka events."""


def _group(panel: str, *parts: tuple[str, Callable[..., None] | typer.Typer]) -> None:
    """Add commands and groups of commands under a heading of `--help`."""
    for name, part in parts:
        if isinstance(part, typer.Typer):
            app.add_typer(part, name=name, rich_help_panel=panel)
        else:
            app.command(name=name, rich_help_panel=panel)(part)


_group(
    "On this machine",
    ("up", up.up),
    ("demo", demo.demo),
)
_group(
    "Runs",
    ("runs", runs.app),
    ("explain", explain.explain),
    ("cancel", cancel.cancel),
    ("cancellations", cancellations.app),
    ("pause", pauses.pause),
    ("resume", pauses.resume),
    ("replay", replays.replay),
    ("replays", replays.app),
    ("audit", audit.app),
)
_group(
    "Functions and events",
    ("functions", functions.app),
    ("events", events.app),
    ("cancelled", cancelled.app),
    ("dead-letters", dead_letters.app),
)
_group(
    "Processes",
    ("router", services.router),
    ("joiner", services.joiner),
    ("read-model", read_model.app),
    ("api", api.api),
    ("worker", worker.worker),
)
_group(
    "Administration",
    ("topics", topics.app),
    ("keys", keys.app),
    ("doctor", doctor.doctor),
    ("version", services.version),
)
