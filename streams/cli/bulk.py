"""What `cancel` and `replay` share: a dry run that counts, and a sample of what it found."""

from typing import Any, Final

import orjson

from streams.cli.client import ApiClient, Document, path_of
from streams.cli.console import table
from streams.cli.following import follow
from streams.errors import CountermandError

CANCELLATIONS: Final = "cancellations"
REPLAYS: Final = "replays"
_SAMPLE: Final = ("run", "status", "received", "event", "data")
_DATA_CHARS: Final = 100


def count(client: ApiClient, kind: str, body: Document) -> Document:
    """The dry run of a request, once it has counted all.

    Raises:
        CountermandError: It was stopped, or failed.
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


def show_sample(client: ApiClient, run_ids: list[str]) -> None:
    """A table of some runs that match."""
    rows = [_row(client, run_id) for run_id in run_ids]
    if rows:
        table(f"{len(rows)} of them", _SAMPLE, rows)


def _row(client: ApiClient, run_id: str) -> list[str]:
    run: Any = client.find(path_of("runs", run_id))
    if run is None:  # too new to be read here
        return [run_id, "", "", "", ""]
    data = orjson.dumps(run["event"].get("data")).decode()
    shown = data if len(data) <= _DATA_CHARS else data[:_DATA_CHARS] + "…"
    return [run_id, run["status"], run["run_started_at"], run["event_id"], shown]
