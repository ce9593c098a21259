"""`countermand up`: everything on this machine, until Ctrl-C."""

import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from streams.cli import options
from streams.cli.console import json_out, out, say
from streams.cli.settings import load_settings
from streams.local.stack import Stack
from streams.settings import Settings

_DEFAULT_PORT: Final = 9092
_DEFAULT_API_PORT: Final = 8420
_WATCH_S: Final = 0.5

DataDir = Annotated[Path, typer.Option(help="Where records and state are kept.")]
Port = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Kafka's port.", show_default="9092 if free")
]


def up(
    *,
    data_dir: DataDir = Path("~/.local/share/countermand/up"),
    port: Port = None,
    partitions: options.Count = None,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Run Kafka (unless one is given), topics and all processes here until Ctrl-C."""
    settings = load_settings(
        bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, partitions=partitions
    )
    end_on_signals()
    try:
        stack = Stack(
            settings,
            data_dir,
            port=port or free(_DEFAULT_PORT),
            api_port=_api_port(settings),
            say=say,
        )
        with stack:
            _announce(stack, json=json)
            while True:
                stack.check()
                time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        say("stopped")


def end_on_signals() -> None:
    """SIGTERM ends as Ctrl-C does; while it ends, further signals don't cut it short."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def free(port: int) -> int | None:
    """The port that clients try by default; None where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
    return port


def _api_port(settings: Settings) -> int | None:
    """The port that the user chose, free or not; else the usual port, if it is free."""
    given = settings.source("api_port") != "default"
    return settings.api_port if given else free(settings.api_port)


def _announce(stack: Stack, *, json: bool) -> None:
    bootstrap = stack.settings.kafka_bootstrap_servers
    if json:
        key = {"api_key": stack.api_key, "api_key_file": str(stack.key_file)}
        urls = {"urls": stack.urls, "dashboard": stack.dashboard}
        json_out({"ready": True, "bootstrap": bootstrap, **urls, **key})
    else:
        out(f"key={stack.api_key} (also in {stack.key_file})")
        served = "".join(f" {name}={url}" for name, url in stack.urls.items())
        out(f"ready bootstrap={bootstrap}{served}")
        out(f"dashboard: open {stack.dashboard} (it signs you in, once, within ten minutes)")
    exports = [f"COUNTERMAND_API_KEY=$(cat {stack.key_file})"]
    if not bootstrap.endswith(f":{_DEFAULT_PORT}"):
        exports.append(f"COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS={bootstrap}")
    if not stack.urls["api"].endswith(f":{_DEFAULT_API_PORT}"):
        exports.append(f"COUNTERMAND_API_URL={stack.urls['api']}")
    say(f"for other commands: export {' '.join(exports)}")
