"""`countermand keys`: made, listed and revoked in the database, and shown once."""

import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from streams.api.call.keys import replace_key
from streams.api.call.roles import Role
from streams.cli.exits import ExitCode
from streams.database.engine import open_database, writing
from streams.database.schema import API_KEYS, AUDIT
from streams.durations import format_instant
from streams.settings import load
from tests.support.cli import json_of, run


@pytest.fixture
def where(tmp_path: Path) -> dict[str, str]:
    """Settings with a database of this test."""
    return {"state_dir": str(tmp_path)}


@pytest.mark.parametrize("role", ["sender", "viewer", "operator", "admin"])
def test_a_key_is_shown_once(where: dict[str, str], role: str) -> None:
    """On stdout alone, so that a script can keep it; a list has no secret."""
    made = run("keys", "create", "deploy bot", "--role", role, **where)
    key = made.stdout.strip()
    assert made.exit_code == 0
    assert key.startswith("cmk_")
    assert key not in made.stderr
    listed = run("keys", "list", **where)
    assert "deploy bot" in listed.stdout
    assert key.split("_", 2)[2] not in listed.output
    (found,) = json_of(run("keys", "list", "--json", **where))["keys"]
    assert (found["name"], found["role"], found["revoked_at"]) == ("deploy bot", role, None)
    assert key.split("_")[1] == found["id"]


def test_a_key_is_revoked(where: dict[str, str]) -> None:
    """Twice is as good as once; the time stays that of the first."""
    made = json_of(run("keys", "create", "ann", "--role", "admin", "--json", **where))
    assert made.keys() == {"id", "name", "role", "created_at", "revoked_at", "key"}
    first = json_of(run("keys", "revoke", made["id"], "--yes", "--json", **where))
    assert first["revoked_at"] is not None
    assert json_of(run("keys", "revoke", made["id"], "--yes", "--json", **where)) == first
    (listed,) = json_of(run("keys", "list", "--json", **where))["keys"]
    assert listed == first


def test_a_role_of_a_newer_release_is_listed(where: dict[str, str], tmp_path: Path) -> None:
    """As it is, beside the keys that this release knows."""
    made = json_of(run("keys", "create", "ann", "--role", "admin", "--json", **where))
    engine = open_database(load(state_dir=tmp_path))
    with writing(engine) as connection:
        connection.execute(update(API_KEYS).values(role="auditor"))
    engine.dispose()
    listed = run("keys", "list", **where)
    assert listed.exit_code == 0
    assert "auditor" in listed.stdout
    revoked = json_of(run("keys", "revoke", made["id"], "--yes", "--json", **where))
    assert (revoked["id"], revoked["role"]) == (made["id"], "auditor")


def trail(folder: Path) -> list[dict[str, Any]]:
    """The audit trail, the oldest first."""
    engine = open_database(load(state_dir=folder))
    try:
        with engine.connect() as connection:
            rows = connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings()
            return [dict(row) for row in rows]
    finally:
        engine.dispose()


def test_the_audit_trail_has_who_made_and_revoked_a_key(
    where: dict[str, str], tmp_path: Path
) -> None:
    """User and machine, as nobody calls; what changed nothing isn't in it."""
    made = json_of(run("keys", "create", "ann", "--role", "admin", "--json", **where))
    for _ in range(2):
        run("keys", "revoke", made["id"], "--yes", **where)
    run("keys", "revoke", "0000000000000000", "--yes", **where)
    run("keys", "create", "", "--role", "viewer", **where)
    created, revoked = trail(tmp_path)
    assert (created["action"], revoked["action"]) == ("createKey", "revokeKey")
    for row in (created, revoked):
        assert (row["target"], row["outcome"], row["api_key"]) == (made["id"], "done", "")
        assert row["actor"] == f"{pwd.getpwuid(os.geteuid()).pw_name}@{socket.gethostname()}"
    assert format_instant(created["at"]) == made["created_at"]


def test_the_key_of_up_is_in_the_audit_trail_too(tmp_path: Path) -> None:
    """Each start makes one, and revokes that of the start before."""
    engine = open_database(load(state_dir=tmp_path))
    for now in (1, 2):
        replace_key(engine, "up", Role.ADMIN, now, actor="me@here")
    engine.dispose()
    found = [(row["action"], row["at"], row["actor"]) for row in trail(tmp_path)]
    wanted = [("createKey", 1), ("createKey", 2), ("revokeKey", 2)]
    assert sorted(found) == [(*one, "me@here") for one in wanted]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["revoke", "0000000000000000", "--yes"], ExitCode.NOT_FOUND),
        (["revoke", "0000000000000000"], ExitCode.REFUSED),
        (["create", "", "--role", "viewer"], ExitCode.REFUSED),
        (["create", "n" * 129, "--role", "viewer"], ExitCode.REFUSED),
        (["create", "a\nb", "--role", "viewer"], ExitCode.REFUSED),
        (["create", "ann", "--role", "boss"], ExitCode.USAGE),
        (["create", "ann"], ExitCode.USAGE),
    ],
)
def test_what_is_refused(where: dict[str, str], arguments: list[str], code: ExitCode) -> None:
    """Nothing is made or revoked by accident."""
    result = run("keys", *arguments, **where)
    assert result.exit_code == code
    assert result.stdout == ""
    assert json_of(run("keys", "list", "--json", **where)) == {"keys": []}
