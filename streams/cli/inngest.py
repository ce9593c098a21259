"""`countermand inngest`: the process for apps of Inngest's SDKs, and `sync`, which asks apps."""

from contextlib import closing
from typing import Annotated, Final

import typer

from streams.api.producer import AckedProducer
from streams.cli import options
from streams.cli.console import out, say
from streams.cli.functions import show
from streams.cli.services import with_state
from streams.cli.settings import load_settings
from streams.errors import CountermandError, NotFoundError, RefusedError, UnreachableError
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
# What is wrong with one app; the next may be right.
_OF_AN_APP: Final = (RefusedError, NotFoundError, UnreachableError)
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
    """Ask apps for their functions, and register them; one that is refused holds up no other."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    keys, origins = keys_of(settings), origins_of(settings)
    check_topics(settings, topics.APPS)
    with closing(AckedProducer(settings)) as producer:
        syncer = Syncer(keys, Registrar(settings, producer, origins), origins)
        failed = [error for url in urls if (error := _sync(syncer, url, moved=moved))]
    if failed:
        raise failed[0] if len(failed) == 1 else _together(failed)


def _sync(syncer: Syncer, url: str, *, moved: bool) -> CountermandError | None:
    """Register an app, and show what was taken; the error, if nothing was."""
    try:
        taken = syncer.sync(url, moved=moved)
    except _OF_AN_APP as error:
        return error
    if taken is None:
        say(f"{url} has registered itself: the log of countermand inngest has the warnings")
        return None
    show(taken.differences)
    for warning in taken.warnings:
        out(f"! {warning}")
    say(f"{len(taken.differences)} functions of {taken.app_id}")
    return None


def _together(failed: list[CountermandError]) -> CountermandError:
    """One error for several apps, of the first one's kind."""
    kind = next(kind for kind in _OF_AN_APP if isinstance(failed[0], kind))
    return kind("\n".join(map(str, failed)))
