"""`countermand cancellations`: list, show and stop what was cancelled in bulk."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from streams.cli import options
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import fields, json_out, out
from streams.cli.following import follow
from streams.cli.listing import Listed, show_list
from streams.cli.runs import COLUMNS, run_row

app = typer.Typer(help="Bulk cancellations: list, show, stop.", no_args_is_help=True)

_LISTED: Final = ("id", "created", "function", "status", "cancelled", "matched", "by", "what")
_FAILED: Final = ("run", "received", "why --if had no answer")


class Outcome(StrEnum):
    """What became of a run in a cancellation's range."""

    CANCELLED = "cancelled"
    FAILED = "failed"
    ALREADY_ENDED = "already_ended"


Id = Annotated[str, typer.Argument(help="The cancellation's id.", show_default=False)]
Function = Annotated[str | None, typer.Option(help="Only of this function (its slug).")]
Runs = Annotated[
    Outcome | None,
    typer.Option(help="List these of its runs too.", show_default="failed, where there are some"),
]


@app.command(name="list")
def list_cancellations(
    *,
    function: Function = None,
    limit: options.Limit = 20,
    cursor: options.Cursor = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """List cancellations, dry runs too, the newest first."""
    with open_client(api_url, api_key) as client:
        params = {"function_id": function}
        listed = Listed(path_of("cancellations"), params, "cancellations", _LISTED, _row)
        show_list(client, listed, limit=limit, cursor=cursor, json=json)


@app.command()
def show(
    id_: Id,
    *,
    runs: Runs = None,
    watch: options.Watch = False,
    limit: options.Limit = 20,
    cursor: options.Cursor = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Show a cancellation: its rule, who asked for it and why, its counts, and some of its runs."""
    with open_client(api_url, api_key) as client:
        path = path_of("cancellations", id_)
        found = client.get(path)["data"]
        if watch:
            found = follow(lambda: client.get(path)["data"], "cancelling")
        if json:
            json_out(found)
        else:
            show_cancellation(found)
        if runs is None and found["counts"]["failed"] and not json:
            runs = Outcome.FAILED
        if runs is not None:
            listed = _runs(f"{path}/runs", runs)
            show_list(client, listed, limit=limit, cursor=cursor, json=json)


@app.command()
def stop(
    id_: Id,
    *,
    reason: options.Reason = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Let a cancellation cancel no more; what it cancelled stays cancelled."""
    with open_client(api_url, api_key) as client:
        found = stopped(client, id_, reason)
    if json:
        json_out(found)
    elif found["status"] == "stopped":
        out(f"{id_} is stopped: {summary(found)}")
    else:
        out(f"{id_} was {found['status']} before: {summary(found)}")


def stopped(client: ApiClient, id_: str, reason: str | None) -> Document:
    """A cancellation after it was told to stop, once every partition has."""
    path = path_of("cancellations", id_)
    client.delete(path, {"reason": reason})
    return follow(lambda: client.get(path)["data"], "stopping")


def rule_text(found: Document) -> str:
    """Which runs a cancellation is for."""
    bounds = []
    if found["started_after"]:
        bounds.append(f"after {found['started_after']}")
    bounds.append(f"before {found['started_before']}")
    text = f"runs of {found['function_internal_id']} received {' and '.join(bounds)}"
    return text + (f" where {found['if']}" if found["if"] else "")


def summary(found: Document) -> str:
    """What a cancellation has done, or would do, in one line."""
    counts = found["counts"]
    done = f"{counts['cancelled']:,} cancelled"
    if found["dry_run"]:
        done = f"{counts['matched']:,} would be cancelled"
    words = [f"{done} of {counts['scanned']:,} looked at"]
    if counts["already_ended"]:
        words.append(f"{counts['already_ended']:,} had ended before")
    if counts["failed"]:
        words.append(f"{counts['failed']:,} left alone, since the expression had no answer")
    return ", ".join(words)


def show_cancellation(found: Document) -> None:
    """A cancellation with all that is known of it."""
    counts = found["counts"]
    partitions = f"{counts['partitions_done']} of {counts['partitions']} partitions done"
    fields(
        [
            ("cancellation", found["id"] + (" (dry run)" if found["dry_run"] else "")),
            ("name", found["name"]),
            ("rule", rule_text(found)),
            ("status", f"{found['status']} ({partitions})"),
            ("runs", summary(found)),
            ("asked for", f"{found['created_at']} by {found['requested_by']}"),
            ("why", found["reason"]),
            ("error", found["error"]),
            ("sample", "\n".join(found["sample"])),
        ]
    )


def _runs(path: str, outcome: Outcome) -> Listed:
    """The list of a cancellation's runs that ended up so."""
    params, what = {"outcome": outcome.value}, f"{outcome.value} runs"
    if outcome is Outcome.FAILED:
        return Listed(path, params, what, _FAILED, _failed_row)
    return Listed(path, params, what, COLUMNS, run_row)


def _row(found: Document) -> list[str]:
    counts = found["counts"]
    status = found["status"] + (" (dry run)" if found["dry_run"] else "")
    why = [text for text in (found["name"], found["if"], found["reason"]) if text]
    return [
        found["id"],
        found["created_at"],
        found["function_internal_id"],
        status,
        f"{counts['cancelled']:,}",
        f"{counts['matched']:,}",
        found["requested_by"],
        "; ".join(why),
    ]


def _failed_row(run: Document) -> list[str]:
    return [run["run_id"], run["run_started_at"], run["failure"] or ""]
