"""`countermand cancel`: cancel many runs, after a dry run that counts them exactly."""

from typing import Annotated

import typer

from streams.cli import options
from streams.cli.agreement import Agreement, AtMost, agree
from streams.cli.cancellations import KIND, summary
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import confirm, json_out, out, say
from streams.cli.exits import ExitCode
from streams.cli.following import follow
from streams.cli.times import instant_of

App = Annotated[
    str | None, typer.Option(help="The function's app; --function is its id in that app then.")
]
Function = Annotated[
    str, typer.Option(help="The function: its slug <app>-<id>; with --app its id alone.")
]
Before = Annotated[
    str | None, typer.Option(help="Only runs received earlier; as --after.", show_default="now")
]
If = Annotated[
    str | None, typer.Option("--if", help="Only runs for whose `event` this CEL is true.")
]


def cancel(
    *,
    function: Function,
    app: App = None,
    after: options.After = None,
    before: Before = None,
    if_: If = None,
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
    """Cancel every unfinished run of a function in a range of time, after counting them.

    A dry run counts first, exactly; then you are asked. New runs are not touched.
    """
    agreement = Agreement(yes, confirm_at_most)
    with open_client(api_url, api_key) as client:
        # Read once, so that the cancellation is for the same runs as the dry run.
        now = client.now()
        body = {
            **_function(client, app, function),
            "started_after": instant_of("--after", after, now),
            "started_before": instant_of("--before", before, now) or now,
            "if": if_,
            "name": name,
            "reason": reason,
        }
        counted = KIND.preview(client, body, json=json)
        matched = counted["counts"]["matched"]
        if dry_run or not matched:
            _tell(counted, None, json=json)
            return
        agree(agreement, matched, f"Cancel {matched:,} runs?")
        begun = client.post("/v1/cancellations", body | {"expected": matched})
        if no_wait:
            _tell(counted, begun, json=json)
            return
        _finish(client, counted, begun, json=json)


def _function(client: ApiClient, app: str | None, function: str) -> Document:
    """The function's app and id, as given or looked up by its slug, also if it was deleted."""
    if app is not None:
        return {"app_id": app, "function_id": function}
    found = client.get(path_of("functions", function), {"deleted": True})["data"]
    return {"app_id": found["app_id"], "function_id": found["id"]}


def _finish(client: ApiClient, counted: Document, begun: Document, *, json: bool) -> None:
    """Follow a cancellation to its end, print its result, and exit with the code for it."""
    path = path_of("cancellations", begun["id"])
    on_interrupt = _OnInterrupt(client, begun["id"])
    found = follow(
        lambda: client.get(path)["data"],
        "cancelling",
        total=counted["counts"]["scanned"],
        interrupted=on_interrupt,
    )
    _tell(counted, found, json=json)
    if on_interrupt.stopping:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if found["status"] != "done":
        raise typer.Exit(ExitCode.FAILED)


class _OnInterrupt:
    """What Ctrl-C does while a cancellation is shown: stops it, or ends the display only."""

    def __init__(self, client: ApiClient, id_: str) -> None:
        self.stopping = False
        self._client = client
        self._id = id_

    def __call__(self) -> None:
        if not self.stopping:
            if self._is_to_stop():
                self._client.delete(f"/v1/cancellations/{self._id}", {"reason": "Ctrl-C"})
                self.stopping = True
                return
            say(f"{self._id} goes on: `countermand cancellations show {self._id} --watch`")
        raise typer.Exit(ExitCode.INTERRUPTED)

    def _is_to_stop(self) -> bool:
        question = "Stop the cancellation? (n: it goes on, and only this display ends)"
        try:
            return confirm(question, yes=False)
        except typer.Abort:
            return False


def _tell(counted: Document, found: Document | None, *, json: bool) -> None:
    """Print the result of a cancellation, as JSON or in words."""
    if json:
        json_out({"dry_run": counted, "cancellation": found})
        return
    if found is None:
        matched = counted["counts"]["matched"]
        say("nothing was cancelled: this was a dry run" if matched else "nothing to cancel")
        return
    if found["status"] == "queued":
        out(f"{found['id']} has begun: `countermand cancellations show {found['id']} --watch`")
        return
    out(f"{found['id']} is {found['status']}: {summary(found)}")
    ended = counted["counts"]["matched"] - found["counts"]["cancelled"]
    if ended > 0 and found["status"] == "done":
        say(f"{ended:,} of those counted ended in between")
    if found["counts"]["failed"]:
        say(f"`countermand cancellations show {found['id']}` lists those without an answer")
    if found["error"]:
        say(found["error"])
    if found["counts"]["cancelled"]:
        say(f"`countermand replay --cancellation {found['id']}` runs them again")
