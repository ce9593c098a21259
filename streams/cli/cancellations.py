"""`countermand cancellations`: list, show and stop what was cancelled in bulk."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from streams.cli import options
from streams.cli.bulk import Kind
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import json_out, out
from streams.cli.following import follow
from streams.cli.listing import Listed, show_list
from streams.cli.runs import COLUMNS, run_row

app = typer.Typer(help="Bulk cancellations: list, show, stop.", no_args_is_help=True)

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
        show_list(client, KIND.list(function), limit=limit, cursor=cursor, json=json)


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
        found = KIND.look(client, id_, watch=watch)
        if json:
            json_out(found)
        else:
            KIND.show(found)
        if runs is None and found["counts"]["failed"] and not json:
            runs = Outcome.FAILED
        if runs is not None:
            listed = _runs(path_of("cancellations", id_, "runs"), runs)
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
    """Stop a cancellation, and wait until every partition has stopped."""
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
    if found.get("expected") not in (None, counts["matched"]) and found["status"] == "done":
        words.append(f"{found['expected']:,} had been counted before")
    return ", ".join(words)


KIND: Final = Kind(
    "cancellation", "cancelling", "cancelled", "function_internal_id", "if", rule_text, summary
)


def _runs(path: str, outcome: Outcome) -> Listed:
    """The list of a cancellation's runs with one outcome."""
    params, what = {"outcome": outcome.value}, f"{outcome.value} runs"
    if outcome is Outcome.FAILED:
        return Listed(path, params, what, _FAILED, _failed_row)
    return Listed(path, params, what, COLUMNS, run_row)


def _failed_row(run: Document) -> list[str]:
    return [run["run_id"], run["run_started_at"], run["failure"] or ""]
