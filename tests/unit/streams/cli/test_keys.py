"""`countermand keys`: made, listed and revoked in the database, and shown once."""

from pathlib import Path

import pytest

from streams.cli.exits import ExitCode
from tests.support.cli import json_of, run


@pytest.fixture
def where(tmp_path: Path) -> dict[str, str]:
    """Settings with a database of this test."""
    return {"state_dir": str(tmp_path)}


def test_a_key_is_shown_once(where: dict[str, str]) -> None:
    """On stdout alone, so that a script can keep it; a list has no secret."""
    made = run("keys", "create", "deploy bot", "--role", "operator", **where)
    key = made.stdout.strip()
    assert made.exit_code == 0
    assert key.startswith("cmk_")
    assert key not in made.stderr
    listed = run("keys", "list", **where)
    assert "deploy bot" in listed.stdout
    assert key.split("_", 2)[2] not in listed.output
    (found,) = json_of(run("keys", "list", "--json", **where))["keys"]
    assert (found["name"], found["role"], found["revoked_at"]) == ("deploy bot", "operator", None)
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
