"""`countermand worker MODULE:APP`: runs the functions of an app."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli import options
from streams.cli.functions import show
from streams.cli.services import configured, run_service
from streams.errors import NotFoundError
from streams.sdk.app import App
from streams.sdk.worker.process import run_worker

AppName = Annotated[
    str, typer.Argument(metavar="MODULE:APP", help="Where the app is, such as reports:app.")
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Runs at once.")]


def worker(
    app: AppName,
    *,
    concurrency: Concurrency = None,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    state_dir: options.StateDir = None,
    web_port: options.WebPort = None,
    log_format: options.LogFormat = None,
    log_level: options.LogLevel = None,
) -> None:
    """Run a worker: it applies the app's functions and executes their runs."""
    settings = configured(
        worker_concurrency=concurrency,
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        state_dir=state_dir,
        web_port=web_port,
        log_format=log_format,
        log_level=log_level,
    )
    found = _find(app)
    run_service(lambda chosen: run_worker(chosen, found, show), settings)


def _find(name: str) -> App:
    """The app of `MODULE:APP`, where the module may be a file of this folder.

    Raises:
        NotFoundError: There is no such module, or no app in it.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute or "app")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, but an import of its own is missing
        raise NotFoundError(f"No module {module} here: name it as MODULE:APP") from None
    except AttributeError as error:
        raise NotFoundError(f"{name}: {error}") from None
    if not isinstance(found, App):
        raise NotFoundError(f"{name} is no streams.sdk.App but a {type(found).__name__}")
    return found
