"""`countermand pause` and `resume`: start no more runs of a function for a while."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from streams.cli import bulk, options
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import confirm, json_out, out
from streams.cli.following import follow
from streams.cli.times import duration_of
from streams.errors import RefusedError


class Running(StrEnum):
    """When the unfinished runs of a paused function are cancelled."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


When = Annotated[
    Running,
    typer.Option("--running", help="When unfinished runs are cancelled: now, later, never."),
]
After = Annotated[
    str | None, typer.Option(help="With --running later: how much later.", show_default="7d")
]


def pause(
    slug: options.Slug,
    *,
    running: When = Running.LATER,
    after: After = None,
    reason: options.Reason = None,
    yes: options.Yes = False,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """Start no more runs of a function: those received until it is resumed are skipped."""
    if after is not None and running is not Running.LATER:
        raise typer.BadParameter("goes with --running later only", param_hint="--after")
    body = {
        "running": running.value,
        "after": duration_of("--after", after),
        "reason": reason,
    }
    with open_client(api_url, api_key) as client:
        found = client.get(path_of("functions", slug))["data"]
        if not yes:
            _ask(client, found, running, after)
        paused = client.post(path_of("functions", slug, "pause"), body)
        if running is Running.NOW:
            paused = _followed(client, path_of("functions", slug), paused)
    if json:
        json_out(paused)
        return
    what = _done(paused)
    out(f"{slug} is paused: runs received until `countermand resume {slug}` are skipped; {what}")


def resume(
    slug: options.Slug,
    *,
    reason: options.Reason = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """End a pause: new runs start again, and what it hasn't cancelled yet goes on."""
    with open_client(api_url, api_key) as client:
        client.post(path_of("functions", slug, "resume"), {"reason": reason})
    if json:
        json_out({"function_id": slug, "resumed": True})
    else:
        out(f"{slug} is resumed")


def _ask(client: ApiClient, function: Document, running: Running, after: str | None) -> None:
    slug = function["function_id"]
    agreed = False
    if sys.stdin.isatty():  # else nobody could answer, and counting would take time in vain
        what = _unfinished(client, function, running, after)
        question = f"Pause {slug}? Runs received from now on are skipped; {what}"
        agreed = confirm(question, yes=False)
    if not agreed:
        raise RefusedError(f"{slug} was not paused: add --yes to go ahead")


def _unfinished(client: ApiClient, function: Document, running: Running, after: str | None) -> str:
    """What a pause will do to unfinished runs; those that it cancels at once are counted."""
    if running is Running.NEVER:
        return "unfinished ones go on"
    if running is Running.LATER:
        return f"unfinished ones are cancelled in {after or '7d'}"
    names = {"app_id": function["app_id"], "function_id": function["id"]}
    counted = bulk.count(client, bulk.CANCELLATIONS, names | {"started_before": client.now()})
    return f"{counted['counts']['matched']:,} unfinished ones are cancelled now"


def _followed(client: ApiClient, path: str, begun: Document) -> Document:
    """Follow a pause until it has cancelled all its runs; Ctrl-C ends only the display."""

    def fetch() -> Document:
        newest: Document | None = client.get(path)["data"]["pause"]
        if newest is None or newest["id"] != begun["id"]:  # resumed, or paused anew
            return begun | {"status": "stopped"}
        return newest

    return follow(fetch, "cancelling")


def _done(paused: Document) -> str:
    if paused["running"] == Running.NEVER:
        return "unfinished ones go on"
    if paused["running"] == Running.LATER:
        return f"unfinished ones are cancelled in {paused['after']}"
    return f"{paused['counts']['cancelled']:,} unfinished ones were cancelled"
