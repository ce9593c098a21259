"""`/v1/keys`: made and shown once, listed, revoked; and all of it in the audit trail."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from streams.api.call.idempotency import LEASE_MS
from streams.api.call.keys import create_key, digest, list_keys
from streams.api.call.roles import Role
from streams.database.engine import writing
from streams.database.schema import API_KEYS, AUDIT, IDEMPOTENCY_KEYS
from streams.settings import load
from tests.support.api import NOWHERE, Api, open_api
from tests.support.deadline import eventually

pytest_plugins = ["tests.support.postgres"]
PATH = "/v1/keys"
BOT = {"name": "deploy bot", "role": "operator"}
ONCE = {"Idempotency-Key": "once"}


def trail(api: Api) -> list[dict[str, Any]]:
    """The audit trail, the oldest first."""
    with api.service.engine.connect() as connection:
        rows = connection.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings()
        return [dict(row) for row in rows]


def named(api: Api, name: str) -> list[str]:
    """The ids of the keys with a name."""
    return [key.id for key in list_keys(api.service.engine) if key.name == name]


def status_of(api: Api, text: str) -> int:
    """How a call with a key is answered."""
    headers = {"Authorization": f"Bearer {text}"}
    return api.call("GET", "/v1/replays", role=None, headers=headers).status_code


def test_a_key_is_made_and_shown_once(api: Api) -> None:
    """It works with its role; no list has it again, and only its digest is stored."""
    made = api.post(PATH, BOT).json()["data"]
    text = made.pop("key")
    assert text.startswith(f"cmk_{made['id']}_")
    assert made.items() >= (BOT | {"revoked_at": None}).items()
    headers = {"Authorization": f"Bearer {text}"}
    assert status_of(api, text) == 200
    assert api.call("GET", PATH, role=None, headers=headers).status_code == 403
    listed = api.call("GET", PATH)
    assert listed.json()["data"][0] == made
    assert text.split("_", 2)[2] not in listed.text
    with api.service.engine.connect() as connection:
        row = connection.execute(select(API_KEYS).where(API_KEYS.c.id == made["id"])).one()
    assert row.digest == digest(text)


def test_a_repeat_makes_no_second_key_and_shows_none(api: Api) -> None:
    """What is kept of the answer, for a day, has no secret in it."""
    first = api.post(PATH, BOT, headers=ONCE).json()["data"]
    again = api.post(PATH, BOT, headers=ONCE)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["data"] == first | {"key": None}
    assert named(api, BOT["name"]) == [first["id"]]
    with api.service.engine.connect() as connection:
        (answer,) = connection.scalars(select(IDEMPOTENCY_KEYS.c.answer))
    assert first["key"].split("_", 2)[2] not in answer.decode()


def test_a_repeat_after_a_crash_makes_no_second_key(api: Api) -> None:
    """The process died before it had kept its answer: the call goes on with its id."""
    first = api.post(PATH, BOT, headers=ONCE).json()["data"]
    with writing(api.service.engine) as connection:
        created_at = IDEMPOTENCY_KEYS.c.created_at - LEASE_MS
        undone = {"status": None, "answer": None, "created_at": created_at}
        connection.execute(update(IDEMPOTENCY_KEYS).values(undone))
    again = api.post(PATH, BOT, headers=ONCE).json()["data"]
    assert again == first | {"key": None}
    assert named(api, BOT["name"]) == [first["id"]]


def test_a_key_is_revoked(api: Api) -> None:
    """Twice is as good as once; its next calls are refused."""
    made = api.post(PATH, BOT).json()["data"]
    first = api.call("DELETE", f"{PATH}/{made['id']}").json()["data"]
    assert first["revoked_at"] is not None
    assert first.keys() == made.keys() - {"key"}
    assert api.call("DELETE", f"{PATH}/{made['id']}").json()["data"] == first
    assert first in api.get(PATH)["data"]
    assert status_of(api, made["key"]) == 401


def test_a_key_may_revoke_itself(api: Api) -> None:
    """Who finds an own key in the wrong hands ends it with that key."""
    key, text = api.keys[Role.ADMIN]
    assert api.call("DELETE", f"{PATH}/{key.id}").status_code == 200
    eventually(lambda: status_of(api, text) == 401)


def test_what_is_not_there_is_not_found(api: Api) -> None:
    """The refusal is in the audit trail as well."""
    answer = api.call("DELETE", f"{PATH}/0000000000000000")
    assert (answer.status_code, answer.json()["code"]) == (404, "key_not_found")
    (row,) = trail(api)
    assert (row["action"], row["target"]) == ("revokeKey", "0000000000000000")
    assert row["outcome"] == "key_not_found"


def test_the_audit_trail_has_who_and_why(api: Api) -> None:
    """One row each, with the key that was made or revoked as what it is about."""
    made = api.post(PATH, BOT | {"reason": "new pipeline"}).json()["data"]
    api.call("DELETE", f"{PATH}/{made['id']}?reason=leaked")
    rows = trail(api)
    assert [row["action"] for row in rows] == ["createKey", "revokeKey"]
    assert [row["reason"] for row in rows] == ["new pipeline", "leaked"]
    for row in rows:
        assert (row["target"], row["outcome"]) == (made["id"], "done")
        assert (row["actor"], row["api_key"]) == ("a-admin", api.keys[Role.ADMIN][0].id)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "viewer"}, "/name"),
        ({"name": "", "role": "viewer"}, "/name"),
        ({"name": "n" * 129, "role": "viewer"}, "/name"),
        ({"name": "a\nb", "role": "viewer"}, "/name"),
        ({"name": "\u202eann", "role": "viewer"}, "/name"),
        ({"name": "ann"}, "/role"),
        ({"name": "ann", "role": "boss"}, "/role"),
        ({"name": "ann", "role": "viewer", "rôle": "admin"}, "/rôle"),
    ],
)
def test_wrong_fields(api: Api, body: dict[str, str], pointer: str) -> None:
    """Each is named, and nothing is made."""
    before = list_keys(api.service.engine)
    answer = api.post(PATH, body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert list_keys(api.service.engine) == before


def test_pages(clean_environment: None, tmp_path: Path, database_url: str) -> None:
    """The newest first, also of those made in the same ms: none twice, none left out."""
    settings = load(kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path, database_url=database_url)
    with open_api(settings) as api:
        engine = api.service.engine
        for number in range(7):
            create_key(engine, f"n{number}", Role.VIEWER, number // 3, actor=None)
        wanted = [key.id for key in list_keys(engine)]
        page = api.get(PATH, limit=2)
        found = page["data"]
        while cursor := page["metadata"]["next_cursor"]:
            page = api.get(PATH, limit=2, cursor=cursor)
            found += page["data"]
        assert [key["id"] for key in found] == wanted
        assert len(found) == 7 + len(Role)


def test_no_cursor(api: Api) -> None:
    """One of another list is refused."""
    answer = api.call("GET", f"{PATH}?cursor=YzE6eA==")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_role_of_a_newer_release(api: Api) -> None:
    """Its key is refused with what to do, listed as it is, and can be revoked."""
    key, text = create_key(api.service.engine, "newer", Role.VIEWER, 0, actor=None)
    with writing(api.service.engine) as connection:
        mine = API_KEYS.c.id == key.id
        connection.execute(update(API_KEYS).where(mine).values(role="auditor"))
    headers = {"Authorization": f"Bearer {text}"}
    for method, path in (("GET", "/v1/runs"), ("POST", "/v1/events"), ("GET", PATH)):
        refused = api.call(method, path, role=None, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_unknown")
        assert "auditor" in refused.json()["detail"]
    assert trail(api) == []
    (listed,) = [one for one in api.get(PATH)["data"] if one["id"] == key.id]
    assert listed["role"] == "auditor"
    assert api.call("DELETE", f"{PATH}/{key.id}").status_code == 200
