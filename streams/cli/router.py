"""`countermand router`: the process that makes commands of events."""

from streams.cli import options
from streams.cli.services import configured, run_service
from streams.router.process import run_router


def router(
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
) -> None:
    """Run a router: events to commands."""
    settings = configured(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        web_port=web_port,
        log_format=log_format,
        log_level=log_level,
    )

    run_service(run_router, settings)
