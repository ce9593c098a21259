"""`countermand inngest`: the process for apps of Inngest's SDKs, and `sync`, which asks apps."""

from contextlib import closing
from typing import Annotated

import typer

from streams.api.producer import AckedProducer
from streams.cli import options
from streams.cli.console import out, say
from streams.cli.functions import show
from streams.cli.services import with_state
from streams.cli.settings import load_settings
from streams.inngest.bridge import keys_of, origins_of, run_bridge
from streams.inngest.register import Registrar
from streams.inngest.sync import Syncer
from streams.kafka.topics import check_topics
from topology import topics

app = typer.Typer(
    help="Run apps that are written for Inngest's SDKs, and register them.",
    invoke_without_command=True,
)
Urls = Annotated[
    list[str], typer.Argument(help="Where apps are, such as http://localhost:3000/api/inngest.")
]
Moved = Annotated[bool, typer.Option("--moved", help="They may have been elsewhere before.")]


@app.callback()
def inngest(
    context: typer.Context,
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    state_dir: options.StateDir = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
) -> None:
    """Run apps that are written for Inngest's SDKs: serve them, and call their functions."""
    if context.invoked_subcommand is None:
        with_state(run_bridge, "")(
            bootstrap_servers=bootstrap_servers,
            topic_prefix=topic_prefix,
            state_dir=state_dir,
            web_port=web_port,
            log_format=log_format,
            log_level=log_level,
        )


@app.command()
def sync(
    urls: Urls,
    *,
    moved: Moved = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Ask apps for their functions, and register them."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    keys, origins = keys_of(settings), origins_of(settings)
    check_topics(settings, topics.APPS)
    with closing(AckedProducer(settings)) as producer:
        syncer = Syncer(keys, Registrar(settings, producer, origins), origins)
        for url in urls:
            taken = syncer.sync(url, moved=moved)
            if taken is None:
                say(f"{url} has registered itself: the log of countermand inngest has the warnings")
                continue
            show(taken.differences)
            for warning in taken.warnings:
                out(f"! {warning}")
            say(f"{len(taken.differences)} functions of {taken.app_id}")
