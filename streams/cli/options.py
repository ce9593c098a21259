"""Options that many commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.settings import Settings

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers", "-b", help="Kafka brokers, host:port, comma-separated.",
        show_default="COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS, else localhost:9092",
    ),
]  # fmt: skip
Prefix = Annotated[
    str | None,
    typer.Option(help="Prefix of topic names.", show_default="COUNTERMAND_TOPIC_PREFIX"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Count = Annotated[int | None, typer.Option(min=1, help="Shared partition count.")]
Factor = Annotated[int | None, typer.Option(min=1, help="Replicas of a topic.")]
StateDir = Annotated[Path | None, typer.Option(help="Where RocksDB is kept.")]
WebPort = Annotated[int | None, typer.Option(min=0, max=65_535, help="Metrics and health.")]
LogFormat = Annotated[str | None, typer.Option(help="auto, json or console.")]


def load_settings(**flags: Any) -> "Settings":  # noqa: ANN401  # one per field
    """The settings of the environment and a command's flags, as `streams.settings.load`."""
    from streams.settings import load  # noqa: PLC0415  # pydantic is slow to import

    if "bootstrap_servers" in flags:
        flags["kafka_bootstrap_servers"] = flags.pop("bootstrap_servers")
    return load(**flags)
