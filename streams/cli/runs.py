"""`countermand runs`: search runs, show one, cancel one."""

import time
from typing import Annotated, Final

import orjson
import typer

from streams.cli import options
from streams.cli.cancelled import cause_text
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import fields, json_out, say, waiting
from streams.cli.exits import ExitCode
from streams.cli.listing import Listed, show_list
from streams.cli.times import instant_of
from streams.errors import RefusedError
from topology.records import Json

app = typer.Typer(help="Search runs, show one, cancel one.", no_args_is_help=True)

COLUMNS: Final = ("run", "function", "status", "received", "ended", "event", "why")
CANCELLED: Final = "Cancelled"
UNFINISHED: Final = frozenset({"Scheduled", "Running", "Sleeping"})
_DECIDED_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.5

RunId = Annotated[str, typer.Argument(help="The run's id.", show_default=False)]
Function = Annotated[str | None, typer.Option(help="Only of this function (its slug).")]
Status = Annotated[
    list[str] | None,
    typer.Option(
        help="Only in this status: scheduled, running, sleeping, completed, failed, cancelled, "
        "skipped, expired; may be given several times."
    ),
]
EndedAfter = Annotated[
    str | None, typer.Option(help="Only those that ended later: RFC 3339, or ago such as 2h.")
]
EndedBefore = Annotated[str | None, typer.Option(help="Only those that ended earlier.")]
EventId = Annotated[str | None, typer.Option(help="Only those that this event triggered.")]
Cancellation = Annotated[str | None, typer.Option(help="Only those that this one cancelled.")]
Replay = Annotated[str | None, typer.Option(help="Only those that this replay made.")]
If = Annotated[str | None, typer.Option("--if", help="Only where this CEL over `event` is true.")]


@app.command(name="list")
def list_runs(
    *,
    function: Function = None,
    status: Status = None,
    after: options.After = None,
    before: options.Before = None,
    ended_after: EndedAfter = None,
    ended_before: EndedBefore = None,
    event_id: EventId = None,
    cancellation: Cancellation = None,
    replay: Replay = None,
    if_: If = None,
    limit: options.Limit = 20,
    cursor: options.Cursor = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """List runs, the newest first; --after and --before say when their events were received."""
    params = {
        "function_id": function,
        "status": status or None,
        "received_after": instant_of("--after", after),
        "received_before": instant_of("--before", before),
        "ended_after": instant_of("--ended-after", ended_after),
        "ended_before": instant_of("--ended-before", ended_before),
        "event_id": event_id,
        "cancellation_id": cancellation,
        "replay_id": replay,
        "if": if_,
    }
    with open_client(api_url, api_key) as client:
        listed = Listed("/v1/runs", params, "runs", COLUMNS, run_row)
        show_list(client, listed, limit=limit, cursor=cursor, json=json)


@app.command()
def show(
    run_id: RunId,
    *,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Show one run."""
    with open_client(api_url, api_key) as client:
        run = client.get(path_of("runs", run_id))["data"]
    if json:
        json_out(run)
    else:
        show_run(run)


@app.command()
def cancel(
    run_id: RunId,
    *,
    reason: options.Reason = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Cancel one run; exit code 4 if it had ended before."""
    with open_client(api_url, api_key) as client:
        answer = client.delete(path_of("runs", run_id), {"reason": reason})
        decided = "status" in answer
        run = answer if decided else _decided(client, path_of("runs", run_id))
    if run is None:
        say(f"asked for, but not decided yet: `countermand runs show {run_id}` will tell")
        raise typer.Exit(ExitCode.FAILED)
    if run["status"] != CANCELLED:
        raise RefusedError(f"{run_id} was not cancelled: it is {run['status'].lower()}")
    if json:
        json_out(run)
    else:
        say(f"{run['run_id']} ({run['function_id']}) is cancelled")


def run_row(run: Document) -> list[str]:
    """A run's cells under `COLUMNS`."""
    return [
        run["run_id"],
        run["function_id"],
        run["status"],
        run["run_started_at"],
        run["ended_at"] or "",
        run["event_id"],
        why(run),
    ]


def why(run: Document) -> str:
    """Why a run ended as it did, in a few words."""
    if run["cause"]:
        return cause_text(run["cause"])
    error = run["error"]
    return f"{error.get('name')}: {error.get('message', '')}" if error else ""


def show_run(run: Document) -> None:
    """A run with all that is known of it."""
    fields(
        [
            ("run", run["run_id"]),
            ("function", f"{run['function_id']} (version {run['function_version']})"),
            ("status", run["status"]),
            ("received", run["run_started_at"]),
            ("started", run["started_at"]),
            ("sleeps until", run["sleep_until"]),
            ("ended", run["ended_at"]),
            ("stopped", run["stopped_at"]),
            ("why", why(run)),
            ("cancellation", run["cancellation_id"]),
            ("replay of", run["replay_of"]),
            ("replay", run["replay_id"]),
            ("attempt", str(run["attempt"])),
            ("worker", run["worker"]),
            ("last step", run["last_step"]),
            ("event", _pretty(run["event"]).split("\n")),
        ]
    )


def _decided(client: ApiClient, path: str) -> Document | None:
    """The run once it has ended; None if it hasn't within some time."""
    end = time.monotonic() + _DECIDED_WITHIN_S
    with waiting("waiting for the decision"):
        while time.monotonic() < end:
            run = client.find(path)
            if run is not None and run["status"] not in UNFINISHED:
                return run
            time.sleep(_LOOK_S)
    return None


def _pretty(value: Json) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
