"""`countermand replay`: run what was cancelled, skipped or failed again; `replays list|show`."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from streams.cli import options
from streams.cli.agreement import Agreement, AtMost, agree
from streams.cli.bulk import Kind
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import json_out, out, say
from streams.cli.exits import ExitCode
from streams.cli.following import follow
from streams.cli.listing import show_list
from streams.cli.times import duration_of, instant_of

app = typer.Typer(help="Replays: list, show.", no_args_is_help=True)


class Replayable(StrEnum):
    """Statuses whose runs can be replayed."""

    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    FAILED = "failed"


Id = Annotated[str, typer.Argument(help="The replay's id.", show_default=False)]
OfFunction = Annotated[str | None, typer.Option(help="Only of this function (its slug).")]
Function = Annotated[str | None, typer.Option(help="Runs of this function (its slug).")]
Cancellation = Annotated[
    str | None, typer.Option(help="Exactly the runs that this cancellation cancelled.")
]
From = Annotated[
    str | None,
    typer.Option("--from", help="With --function: received later; RFC 3339, or ago such as 2h."),
]
To = Annotated[
    str | None,
    typer.Option("--to", help="With --function: received earlier.", show_default="now"),
]
Status = Annotated[
    list[Replayable] | None,
    typer.Option(help="With --function: in this status; may be given several times."),
]
Spread = Annotated[
    str | None, typer.Option(help="Start them over so long, such as 10m, and not at once.")
]


def replay(
    *,
    cancellation: Cancellation = None,
    function: Function = None,
    from_: From = None,
    to: To = None,
    status: Status = None,
    spread: Spread = None,
    name: options.Name = None,
    reason: options.Reason = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    confirm_at_most: AtMost = None,
    no_wait: options.NoWait = False,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Run cancelled, skipped or failed runs again, as fresh runs, after counting them.

    Either those of one cancellation, or those of a function by range and statuses.
    """
    if (cancellation is None) == (function is None):
        raise typer.BadParameter("give --cancellation, or --function with --from and --status")
    agreement = Agreement(yes, confirm_at_most)
    with open_client(api_url, api_key) as client:
        # Read once, so that the replay is for the same runs as the dry run.
        now = client.now()
        body = {
            "cancellation_id": cancellation,
            "function_id": function,
            "from": instant_of("--from", from_, now),
            "to": instant_of("--to", to, now) or (now if function else None),
            "statuses": [chosen.value for chosen in status] if status else None,
            "spread": duration_of("--spread", spread),
            "name": name,
            "reason": reason,
        }
        counted = KIND.preview(client, body, json=json)
        matched = counted["counts"]["matched"]
        if dry_run or not matched:
            _tell(counted, None, json=json)
            return
        agree(agreement, matched, f"Replay {matched:,} runs?")
        begun = client.post("/v1/replays", body)
        found = begun if no_wait else _followed(client, counted, begun)
        _tell(counted, found, json=json)
        if found["status"] == "failed":
            raise typer.Exit(ExitCode.FAILED)


@app.command(name="list")
def list_replays(
    *,
    function: OfFunction = None,
    limit: options.Limit = 20,
    cursor: options.Cursor = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """List replays, dry runs too, the newest first."""
    with open_client(api_url, api_key) as client:
        show_list(client, KIND.list(function), limit=limit, cursor=cursor, json=json)


@app.command()
def show(
    id_: Id,
    *,
    watch: options.Watch = False,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Show a replay: what it is for, who asked for it and why, and its counts."""
    with open_client(api_url, api_key) as client:
        found = KIND.look(client, id_, watch=watch)
    if json:
        json_out(found)
    else:
        KIND.show(found)


def rule_text(found: Document) -> str:
    """Which runs a replay is for."""
    if found["cancellation_id"]:
        text = f"runs of {found['function_id']} that {found['cancellation_id']} cancelled"
    else:
        statuses = " or ".join(found["statuses"])
        between = f"received after {found['from']} and before {found['to']}"
        text = f"{statuses} runs of {found['function_id']} {between}"
    return text + (f", spread over {found['spread']}" if found["spread"] else "")


def summary(found: Document) -> str:
    """What a replay has done, or would do, in one line."""
    counts = found["counts"]
    done = f"{counts['replayed']:,} replayed"
    if found["dry_run"]:
        done = f"{counts['matched']:,} would be replayed"
    return f"{done} of {counts['scanned']:,} looked at"


KIND: Final = Kind(
    "replay", "replaying", "replayed", "function_id", "cancellation_id", rule_text, summary
)


def _followed(client: ApiClient, counted: Document, begun: Document) -> Document:
    """Follow a replay to its end; Ctrl-C ends only the display."""
    path = path_of("replays", begun["id"])
    total = counted["counts"]["scanned"]
    try:
        return follow(lambda: client.get(path)["data"], "replaying", total=total)
    except KeyboardInterrupt:
        say(f"{begun['id']} goes on: `countermand replays show {begun['id']} --watch`")
        raise


def _tell(counted: Document, found: Document | None, *, json: bool) -> None:
    """Print the result of a replay, as JSON or in words."""
    if json:
        json_out({"dry_run": counted, "replay": found})
    elif found is None:
        matched = counted["counts"]["matched"]
        say("nothing was replayed: this was a dry run" if matched else "nothing to replay")
    elif found["status"] == "queued":
        out(f"{found['id']} has begun: `countermand replays show {found['id']} --watch`")
    else:
        out(f"{found['id']} is {found['status']}: {summary(found)}")
        say(f"`countermand runs list --replay {found['id']}` lists the fresh runs")
