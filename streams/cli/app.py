"""The command tree of `countermand`."""

from typing import Annotated

import typer

from streams.cli import (
    api,
    cancelled,
    dead_letters,
    demo,
    doctor,
    events,
    functions,
    keys,
    read_model,
    services,
    topics,
    up,
)
from streams.cli.exits import Commands

_EXITS = (
    "Exit codes: 0 ok, 1 failed, 2 wrong use or settings, 3 not found, 4 refused, "
    "5 broker unreachable, 6 topics missing or wrong, 7 database unusable. "
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


app.command()(up.up)
app.command()(demo.demo)
app.command()(services.router)
app.command()(services.joiner)
app.add_typer(read_model.app, name="read-model")
app.command()(api.api)
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics")
app.add_typer(functions.app, name="functions")
app.add_typer(events.app, name="events")
app.add_typer(cancelled.app, name="cancelled")
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(doctor.doctor)
app.command()(services.version)
