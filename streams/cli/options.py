"""Options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
ApiUrl = Annotated[
    str | None,
    typer.Option(help="The REST API.", show_default="COUNTERMAND_API_URL, else this machine's"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(help="Its key; others see flags.", show_default="COUNTERMAND_API_KEY"),
]
Reason = Annotated[str | None, typer.Option(help="Why: kept with it, and in the audit trail.")]
Slug = Annotated[str, typer.Argument(help="The function: <app>-<id>.", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where a list ended.")]
Name = Annotated[str | None, typer.Option(help="A name, for people.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count and show a sample; change nothing.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Don't wait until it is done.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show its progress until it is over.")]
After = Annotated[
    str | None, typer.Option(help="Later than this: RFC 3339, or a duration ago such as 2h.")
]
Before = Annotated[str | None, typer.Option(help="Earlier than this; as --after.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(help="auto, json or console.")]
