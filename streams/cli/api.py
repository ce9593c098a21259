"""`countermand api`: the REST API as a process."""

from pathlib import Path
from typing import Annotated

import typer

from streams import dashboard
from streams.api.process import run_api
from streams.cli import options
from streams.cli.services import configured, run_service
from streams.settings import Settings

Host = Annotated[str | None, typer.Option(help="Where to serve; 0.0.0.0 is everywhere.")]
Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of the API.")]


def api(
    *,
    host: Host = None,
    port: Port = None,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where SQLite is kept.")] = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
) -> None:
    """Run the REST API and the dashboard; `countermand keys create` makes their keys."""
    settings = configured(
        api_host=host,
        api_port=port,
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        state_dir=state_dir,
        log_format=log_format,
        log_level=log_level,
    )
    run_service(_serve, settings)


def _serve(settings: Settings) -> None:
    run_api(settings, dashboard.install)
