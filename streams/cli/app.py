"""`countermand` itself: its own help and options. The commands are in `commands.py`."""

from typing import Annotated

import typer

from streams.cli.commands import PANELS
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


def _to_be_loaded() -> None:
    """Stands for a command, in `--help`, until `Commands` loads it."""


for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        app.command(name=_name, help=_command.help, rich_help_panel=_panel)(_to_be_loaded)


def main() -> None:
    """Run the command line; the entry point of `countermand`."""
    app(prog_name="countermand")
