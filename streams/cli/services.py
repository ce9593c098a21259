"""`countermand router` and `countermand joiner`: the two processes, and `version`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import options
from streams.cli.console import json_out, out
from streams.errors import CountermandError

if TYPE_CHECKING:
    from streams.settings import Settings

LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]


def router(  # noqa: PLR0913  # one parameter per option
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    partitions: options.Count = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Run a router: events to commands."""
    settings = configured(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=partitions,
        web_port=web_port,
        log_format=log_format,
        log_level=log_level,
    )
    from streams.router.process import run_router  # noqa: PLC0415  # heavy

    run_service(run_router, settings)


def joiner(  # noqa: PLR0913  # one parameter per option
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    partitions: options.Count = None,
    state_dir: options.StateDir = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Run a joiner: commands to state and cancelled events."""
    settings = configured(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        partitions=partitions,
        state_dir=state_dir,
        web_port=web_port,
        log_format=log_format,
        log_level=log_level,
    )
    from streams.joiner.app import run_joiner  # noqa: PLC0415  # heavy

    run_service(run_joiner, settings)


def version(*, json: options.Json = False) -> None:
    """Print the version, and those of what it stands on."""
    from importlib.metadata import version as installed  # noqa: PLC0415  # only here

    from streams.metrics import installed_version  # noqa: PLC0415  # brings a library

    parts = ("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "cel-python")
    versions = {"countermand": installed_version()} | {name: installed(name) for name in parts}
    if json:
        json_out(versions)
        return
    for name, number in versions.items():
        out(f"{name} {number}")


def run_service(service: "Callable[[Settings], None]", settings: "Settings") -> None:
    """Run until told to stop; what ends it otherwise goes to the log first."""
    from streams import logs  # noqa: PLC0415  # not needed for --help

    try:
        service(settings)
    except Exception as error:
        expected = isinstance(error, CountermandError)
        log = logs.get(__name__)
        (log.error if expected else log.exception)("Stopped by an error", error=str(error))
        raise


def configured(**flags: Any) -> "Settings":  # noqa: ANN401  # one per setting
    """The settings, and logs that follow them."""
    from streams import logs  # noqa: PLC0415  # not needed for --help

    settings = options.load_settings(**flags)
    logs.configure(settings.log_level, settings.log_format)
    return settings
