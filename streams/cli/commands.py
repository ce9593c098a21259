"""Every command of `countermand`: where it is, and what `countermand --help` says of it.

A command's module is imported when the command is called, as most need Kafka, a database or CEL.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer
from typer._click import Command as LoadedCommand


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of commands.

    Attributes:
        place: Module in `streams.cli`, and the name there of a function or a Typer.
        help: The first paragraph of its help.
    """

    place: str
    help: str


ON_THIS_MACHINE: Final = {
    "up": Command(
        "up:up", "Run Kafka (unless one is given), topics and all processes here until Ctrl-C."
    ),
    "demo": Command(
        "demo:demo",
        "Play a scenario on a Kafka of its own; exit code 0 only if every run went as it must.",
    ),
}
RUNS: Final = {
    "explain": Command(
        "explain:explain",
        "Say what cancels a run: its rules, the values they wait for, until when, and its cause.",
    ),
    "cancel": Command(
        "cancel:cancel",
        "Cancel every unfinished run of a function in a range of time, after counting them.",
    ),
    "pause": Command(
        "pauses:pause",
        "Start no more runs of a function: those received until it is resumed are skipped.",
    ),
    "resume": Command(
        "pauses:resume",
        "End a pause: new runs start again, and what it hasn't cancelled yet goes on.",
    ),
    "replay": Command(
        "replays:replay",
        "Run cancelled, skipped or failed runs again, as fresh runs, after counting them.",
    ),
    "runs": Command("runs:app", "Search runs, show one, cancel one."),
    "cancellations": Command("cancellations:app", "Bulk cancellations: list, show, stop."),
    "replays": Command("replays:app", "Replays: list, show."),
    "audit": Command("audit:app", "Who did what."),
}
PROCESSES: Final = {
    "router": Command("router:router", "Run a router: events to commands."),
    "joiner": Command("joiner:joiner", "Run a joiner: commands to state and cancelled events."),
    "api": Command(
        "api:api", "Run the REST API and the dashboard; `countermand keys create` makes their keys."
    ),
    "worker": Command(
        "worker:worker", "Run a worker: it applies the app's functions and executes their runs."
    ),
    "inngest": Command(
        "inngest:app", "Run apps that are written for Inngest's SDKs, and register them."
    ),
    "read-model": Command(
        "read_model:app", "Copy runs, requests and their progress into the SQL database."
    ),
}
ADMINISTRATION: Final = {
    "doctor": Command(
        "doctor:doctor",
        "Check settings, disk, codecs, database, broker, topics, clocks; exit code 1 if one fails.",
    ),
    "version": Command("version:version", "Print the version, and those of what it stands on."),
    "topics": Command("topics:app", "Make and check Kafka's topics."),
    "members": Command("members:app", "Who is in the groups of routers, joiners and read models."),
    "keys": Command("keys:app", "API keys: who may call the REST API."),
}
FUNCTIONS_AND_EVENTS: Final = {
    "functions": Command("functions:app", "Functions and their cancel rules."),
    "events": Command("events:app", "Produce events."),
    "cancelled": Command("cancelled:app", "Watch cancelled runs."),
    "dead-letters": Command("dead_letters:app", "Records that could not be taken."),
}
# The headings of `countermand --help`, in its order.
PANELS: Final[dict[str, dict[str, Command]]] = {
    "On this machine": ON_THIS_MACHINE,
    "Runs": RUNS,
    "Processes": PROCESSES,
    "Administration": ADMINISTRATION,
    "Functions and events": FUNCTIONS_AND_EVENTS,
}


def load(name: str) -> LoadedCommand:
    """The command of that name, from its module."""
    (command,) = (commands[name] for commands in PANELS.values() if name in commands)
    module, attribute = command.place.split(":")
    part = getattr(import_module(f"streams.cli.{module}"), attribute)
    holder = typer.Typer()
    if isinstance(part, typer.Typer):
        holder.add_typer(part, name=name)
    else:
        holder.command(name=name)(part)
    return typer.main.get_group(holder).commands[name]
