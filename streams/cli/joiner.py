"""`countermand joiner`: the process that makes state and cancelled events of commands."""

from streams.cli import options
from streams.cli.services import configured, run_service
from streams.joiner.app import run_joiner


def joiner(
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    partitions: options.Count = None,
    state_dir: options.StateDir = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
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

    run_service(run_joiner, settings)
