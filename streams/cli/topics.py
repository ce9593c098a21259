"""`countermand topics`: make Kafka's topics, and compare them with what is needed."""

from typing import Annotated

import typer

from streams.cli import options
from streams.cli.console import json_out, out, say
from streams.cli.exits import ExitCode
from streams.cli.settings import load_settings
from streams.kafka.findings import grouped
from streams.kafka.topics import create_topics, inspect_topics

app = typer.Typer(help="Make and check Kafka's topics.", no_args_is_help=True)
Mend = Annotated[
    bool, typer.Option("--mend", help="Also set the configuration of topics that are there.")
]


@app.command()
def create(
    *,
    partitions: options.Count = None,
    replication_factor: options.Factor = None,
    mend: Mend = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Make every topic that is missing; topics that exist stay as they are."""
    settings = load_settings(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=partitions,
        replication_factor=replication_factor,
    )
    done = create_topics(settings, mend=mend)
    if json:
        json_out(vars(done))
        return
    for name in done.created:
        out(f"created {name}")
    for name in done.mended:
        out(f"mended {name}")
    say(
        f"{len(done.created)} created, {len(done.existing)} there already, "
        f"{done.partitions} partitions, replication factor {done.replication_factor}"
    )


@app.command()
def check(
    *,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Compare the topics with what router and joiner need; exit code 6 if they won't start."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    report = inspect_topics(settings)
    if json:
        json_out(report.as_json())
    else:
        for line in grouped(report.errors):
            out(f"error: {line}")
        for line in grouped(report.warnings):
            out(f"warning: {line}")
        say(
            f"{len(report.topics)} topics, {len(report.errors)} errors, "
            f"{len(report.warnings)} warnings; events up to {report.event_bytes:,} bytes"
        )
    if report.errors:
        raise typer.Exit(ExitCode.TOPICS)
