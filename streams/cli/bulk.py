"""What cancellations and replays share: lists, details, and a dry run that counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.cli.client import ApiClient, Document, path_of
from streams.cli.console import fields, out, table
from streams.cli.following import follow
from streams.cli.listing import Listed
from streams.errors import CountermandError

CANCELLATIONS: Final = "cancellations"
_SAMPLE: Final = ("run", "status", "received", "event", "data")
_DATA_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells cancellations and replays apart.

    Attributes:
        name: The singular; the plural with an `s` is in paths.
        doing: What is done to runs, for a progress bar.
        done: The name of the count of runs that it was done to.
        function: The member that has the function's slug.
        what: The member that a list shows between name and reason.
        rule_text: Says in words for which runs a request is.
        summary: Says in one line what a request has done, or would do.
    """

    name: str
    doing: str
    done: str
    function: str
    what: str
    rule_text: Callable[[Document], str]
    summary: Callable[[Document], str]

    @property
    def plural(self) -> str:
        """Its plural, as in paths."""
        return f"{self.name}s"

    def row(self, found: Document) -> list[str]:
        """The cells of a request in a list."""
        counts = found["counts"]
        what = (found["name"], found[self.what], found["reason"])
        return [
            found["id"],
            found["created_at"],
            found[self.function],
            found["status"] + _dry(found),
            f"{counts[self.done]:,}",
            f"{counts['matched']:,}",
            found["requested_by"],
            "; ".join(text for text in what if text),
        ]

    def show(self, found: Document) -> None:
        """Print a request with all that is known of it."""
        counts = found["counts"]
        partitions = f"{counts['partitions_done']} of {counts['partitions']} partitions done"
        fields(
            [
                (self.name, found["id"] + _dry(found)),
                ("name", found["name"]),
                ("rule", self.rule_text(found)),
                ("status", f"{found['status']} ({partitions})"),
                ("runs", self.summary(found)),
                ("asked for", f"{found['created_at']} by {found['requested_by']}"),
                ("why", found["reason"]),
                ("error", found["error"]),
                ("started again", found.get("replay_id")),
                ("sample", found["sample"]),
            ]
        )

    def list(self, function: str | None) -> Listed:
        """The requests for a function, or for all functions if it is None."""
        columns = ("id", "created", "function", "status", self.done, "matched", "by", "what")
        path, params = path_of(self.plural), {"function_id": function}
        return Listed(path, params, self.plural, columns, self.row)

    def look(self, client: ApiClient, id_: str, *, watch: bool) -> Document:
        """A request as it is now; with `watch` its progress is shown until it is over."""
        path = path_of(self.plural, id_)
        found: Document = client.get(path)["data"]
        return follow(lambda: client.get(path)["data"], self.doing) if watch else found

    def preview(self, client: ApiClient, body: Document, *, json: bool) -> Document:
        """The finished dry run of a request; printed with a sample of runs, unless `json`.

        Raises:
            CountermandError: As `count`.
        """
        counted = count(client, self.plural, body)
        if not json:
            out(f"{self.rule_text(counted)}:")
            out(self.summary(counted))
            _show_sample(client, counted["sample"])
        return counted


def _dry(found: Document) -> str:
    return " (dry run)" if found["dry_run"] else ""


def count(client: ApiClient, kind: str, body: Document) -> Document:
    """Start a dry run, and wait until it has counted every run.

    Raises:
        CountermandError: The dry run was stopped, or failed.
    """
    begun = client.post(path_of(kind), {**body, "dry_run": True})
    path = path_of(kind, begun["id"])
    try:
        found = follow(lambda: client.get(path)["data"], "counting")
    except KeyboardInterrupt:
        if kind == CANCELLATIONS:  # nobody waits for its counts any more
            client.delete(path)
        raise
    if found["status"] != "done":
        why = f": {found['error']}" if found["error"] else ""
        raise CountermandError(f"The dry run {found['id']} is {found['status']}{why}")
    return found


def _show_sample(client: ApiClient, run_ids: list[str]) -> None:
    """A table of some runs that match."""
    rows = [_row(client, run_id) for run_id in run_ids]
    if rows:
        table(f"{len(rows)} of them", _SAMPLE, rows)


def _row(client: ApiClient, run_id: str) -> list[str]:
    run: Any = client.find(path_of("runs", run_id))
    if run is None:  # the read model doesn't have it yet
        return [run_id, "", "", "", ""]
    data = orjson.dumps(run["event"].get("data")).decode()
    shown = data if len(data) <= _DATA_CHARS else data[:_DATA_CHARS] + "…"
    return [run_id, run["status"], run["run_started_at"], run["event_id"], shown]
