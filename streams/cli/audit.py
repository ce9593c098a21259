"""`countermand audit list`: who asked for what, when and why, and what became of it."""

from typing import Annotated, Final

import typer

from streams.cli import options
from streams.cli.client import Document, open_client
from streams.cli.listing import Listed, show_list
from streams.cli.times import instant_of

app = typer.Typer(help="Who did what.", no_args_is_help=True)

_COLUMNS: Final = ("at", "actor", "action", "target", "outcome", "why", "id")

Actor = Annotated[str | None, typer.Option(help="Only by this key's name.")]
Action = Annotated[
    str | None, typer.Option(help="Only this operation, such as createCancellation.")
]
Target = Annotated[
    str | None, typer.Option(help="Only about this run, cancellation, function, replay or topic.")
]


@app.command(name="list")
def list_audit(
    *,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    after: options.After = None,
    before: options.Before = None,
    limit: options.Limit = 20,
    cursor: options.Cursor = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
) -> None:
    """List writes through the API, refused ones too, the newest first; needs an admin's key."""
    params = {
        "actor": actor,
        "action": action,
        "target": target,
        "after": instant_of("--after", after),
        "before": instant_of("--before", before),
    }
    with open_client(api_url, api_key) as client:
        listed = Listed("/v1/audit", params, "entries", _COLUMNS, _row)
        show_list(client, listed, limit=limit, cursor=cursor, json=json)


def _row(entry: Document) -> list[str]:
    return [
        entry["at"],
        entry["actor"],
        entry["action"] + (" (dry run)" if entry["dry_run"] else ""),
        entry["target"],
        entry["outcome"],
        entry["reason"] or "",
        entry["request_id"] or "",
    ]
