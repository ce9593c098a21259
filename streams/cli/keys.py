"""`countermand keys`: make, list and revoke API keys, directly in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from streams.api.call import keys
from streams.api.call.api_key import ApiKey
from streams.api.call.keys import create_key, local_user, revoke_key
from streams.api.call.roles import Role
from streams.cli import options
from streams.cli.console import confirm, json_out, out, say, table
from streams.cli.settings import load_settings
from streams.clock import now_ms
from streams.database.engine import open_database, translated
from streams.durations import format_instant
from streams.errors import RefusedError

app = typer.Typer(help="API keys: who may call the REST API.", no_args_is_help=True)


RoleOption = Annotated[
    Role,
    typer.Option(
        help="sender: send events, nothing else. viewer: read. operator: both, and cancel, pause, "
        "resume, replay. admin: also functions, API keys and the audit trail."
    ),
]
Name = Annotated[str, typer.Argument(help="Whose key it is: it stands in the audit trail.")]
Id = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]


@app.command()
def create(name: Name, *, role: RoleOption, json: options.Json = False) -> None:
    """Make a key; it is shown once, and only its hash is kept."""
    with _database() as engine:
        key, text = create_key(engine, name, role, now_ms(), actor=local_user())
    if json:
        json_out(_shown(key) | {"key": text})
    else:
        out(text)
        say(f"{role} key {key.id} for {name}: it is not shown again")


@app.command(name="list")
def list_keys(*, json: options.Json = False) -> None:
    """List all keys, revoked ones too; never their secrets."""
    with _database() as engine:
        found = [_shown(key) for key in reversed(keys.list_keys(engine))]
    if json:
        json_out({"keys": found})
        return
    columns = ("id", "name", "role", "created_at", "revoked_at")
    if found:
        table("", columns, [[str(key[name] or "") for name in columns] for key in found])
    say(f"{len(found)} keys")


@app.command()
def revoke(id_: Id, *, yes: options.Yes = False, json: options.Json = False) -> None:
    """Let a key call no more, from at most a second later on."""
    if not confirm(f"Revoke the key {id_}?", yes=yes):
        raise RefusedError(f"{id_} was not revoked: add --yes to go ahead")
    with _database() as engine:
        key = revoke_key(engine, id_, now_ms(), actor=local_user())
    if json:
        json_out(_shown(key))
    else:
        say(f"{key.id} ({key.name}) is revoked")


@contextmanager
def _database() -> Iterator[Engine]:

    engine = open_database(load_settings())
    try:
        with translated(engine):
            yield engine
    finally:
        engine.dispose()


def _shown(key: ApiKey) -> dict[str, Any]:

    times = {name: getattr(key, name) for name in ("created_at", "revoked_at")}
    return asdict(key) | {name: at and format_instant(at) for name, at in times.items()}
