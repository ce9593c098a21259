"""What may come in: sizes, content types, JSON; and every error as a problem."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from streams.api.call.roles import Role
from streams.settings import Settings
from tests.support.api import Api, open_api

EVENTS = "/v1/events"
CANCELLATIONS = "/v1/cancellations"
JSON = {"Content-Type": "application/json"}
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "error", "request_id"}


def problem(answer: Any) -> Any:
    """The problem of an answer, which has all that a problem has."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = answer.json()
    assert found.keys() >= MEMBERS
    assert found["status"] == answer.status_code
    assert found["error"] == found["detail"]
    assert found["type"].endswith(found["code"])
    assert found["request_id"] == answer.headers["X-Request-Id"]
    return found


def test_problems(api: Api) -> None:
    """Each error has one shape; wrong fields are 400 where Inngest has it so, else 422."""
    wrong = {
        ("GET", "/nothing"): (404, "route_not_found"),
        ("GET", "/v1/cancellations/"): (404, "route_not_found"),
        ("PATCH", "/v1/runs"): (405, "method_not_allowed"),
        ("GET", "/v1/runs?limit=0"): (400, "invalid_request"),
        ("GET", "/v1/runs?limit=101"): (400, "invalid_request"),
        ("GET", "/v1/runs?cursor=x"): (400, "invalid_request"),
        ("GET", "/v1/runs?cursor=%00"): (400, "invalid_request"),
        ("GET", "/v1/runs?stat=Running"): (400, "invalid_request"),
        ("GET", "/v1/runs?function_id=a%00"): (400, "invalid_request"),
        ("GET", "/v1/replays?cursor=YzE6eA=="): (422, "invalid_request"),
        ("GET", "/v1/replays/x"): (422, "invalid_request"),
        ("GET", "/v1/events/a%00b/runs"): (422, "invalid_request"),
    }
    found = {call: problem(api.call(*call)) for call in wrong}
    assert {call: (one["status"], one["code"]) for call, one in found.items()} == wrong


def test_a_method_that_is_not_there_names_those_that_are(api: Api) -> None:
    """RFC 9110 asks for it."""
    assert api.call("PATCH", "/v1/runs").headers["Allow"] == "GET"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json(api: Api, kind: str) -> None:
    """A form is refused, not guessed at."""
    headers = {"Content-Type": kind} if kind else {}
    answer = api.call("POST", EVENTS, content=b'{"name": "a"}', headers=headers)
    assert problem(answer)["code"] == "unsupported_media_type"
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": NaN}',
        b'{"name": 1e400}',
        b'{"name": "\\ud800"}',
        b'"\xff"',
        b"[" * 100_000,
        b"[" * 1_000 + b"]" * 1_000,
        b"[" * 980 + b"]" * 980,
    ],
)
def test_what_is_no_json(api: Api, body: bytes) -> None:
    """What couldn't be written out again is refused at the door."""
    for path, status in ((EVENTS, 422), (CANCELLATIONS, 400)):
        answer = api.call("POST", path, content=body, headers=JSON)
        assert (answer.status_code, problem(answer)["code"]) == (status, "invalid_request")


def test_what_is_no_object(api: Api) -> None:
    """A body that is missing, or JSON of another kind, is a wrong field like any other."""
    for path, status in ((EVENTS, 422), (CANCELLATIONS, 400), ("/v1/replays", 422)):
        for body in (b"", b"null", b"1", b'"x"', b"[]", b"[1]"):
            answer = api.call("POST", path, content=body, headers=JSON)
            found = (answer.status_code, problem(answer)["code"])
            assert found == (status, "invalid_request"), (path, body)


def test_a_body_that_is_too_large(api: Api) -> None:
    """Whether it says so or comes in chunks without an end."""
    limit = api.service.settings.api_body_limit
    answer = api.call("POST", EVENTS, content=b" " * (limit + 1), headers=JSON)
    assert (answer.status_code, problem(answer)["code"]) == (413, "body_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(limit // 65_536 + 2):
            yield b" " * 65_536

    assert api.call("POST", EVENTS, content=chunks(), headers=JSON).status_code == 413


def test_a_key_is_asked_for_before_anything_is_read(api: Api) -> None:
    """Nobody without a key learns what is wrong with a body, and none of it is kept."""
    answer = api.call("POST", EVENTS, role=None, content=b"{", headers=JSON)
    assert answer.status_code == 401
    answer = api.call("POST", EVENTS, role=Role.VIEWER, content=b"{", headers=JSON)
    assert answer.status_code == 403


def test_a_database_that_fails_is_503(api: Api) -> None:
    """Everything but health says when to try again."""
    with api.service.engine.begin() as connection:
        connection.execute(text("ALTER TABLE runs RENAME TO gone"))
    answer = api.call("GET", "/v1/runs")
    assert (answer.status_code, problem(answer)["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_defect_shows_nothing_of_itself(api: Api) -> None:
    """500 with an id that the log has too; the words of the error stay inside."""

    @api.app.get("/broken")
    def broken() -> None:
        raise ValueError("secret words")

    answer = api.call("GET", "/broken")
    assert (answer.status_code, problem(answer)["code"]) == (500, "internal_error")
    assert "secret words" not in answer.text


@pytest.mark.parametrize("limit", [1024])
def test_the_limit_is_a_setting(settings: Settings, limit: int) -> None:
    """A gateway in front may have one of its own."""
    with open_api(settings.model_copy(update={"api_body_limit": limit})) as api:
        body = json.dumps({"name": "a" * 1_100}).encode()
        assert api.call("POST", EVENTS, content=body, headers=JSON).status_code == 413
