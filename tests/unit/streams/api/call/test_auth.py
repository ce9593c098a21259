"""Who may call what: every route of the app with every role, and keys that are none."""

import asyncio
import hmac
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from streams.api.app import ROUTERS
from streams.api.call.auth import REMEMBERED_S, Authenticator
from streams.api.call.keys import create_key, revoke_key
from streams.api.call.roles import Role
from streams.api.problems import ProblemError
from streams.clock import now_ms
from tests.support.api import Api

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
# What keys of each role may do, by the role that a route asks for.
COVERED = {
    Role.SENDER: {Role.SENDER},
    Role.VIEWER: {Role.VIEWER},
    Role.OPERATOR: {Role.SENDER, Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: {Role.SENDER, Role.VIEWER, Role.OPERATOR, Role.ADMIN},
}
# Every route with the role that it asks for; a new one must be entered here.
NEEDED = {
    "POST /v1/cancellations": Role.OPERATOR,
    "GET /v1/cancellations": Role.VIEWER,
    "GET /v1/cancellations/{cancellation_id}": Role.VIEWER,
    "DELETE /v1/cancellations/{cancellation_id}": Role.OPERATOR,
    "GET /v1/cancellations/{cancellation_id}/begun": Role.VIEWER,
    "GET /v1/cancellations/{cancellation_id}/runs": Role.VIEWER,
    "GET /v1/runs": Role.VIEWER,
    "GET /v1/runs/counts": Role.VIEWER,
    "GET /v1/runs/{run_id}": Role.VIEWER,
    "DELETE /v1/runs/{run_id}": Role.OPERATOR,
    "GET /v1/runs/{run_id}/rules": Role.VIEWER,
    "GET /v1/events/{event_id:anything}/runs": Role.VIEWER,
    "GET /v1/functions": Role.VIEWER,
    "GET /v1/functions/{slug}": Role.VIEWER,
    "PUT /v1/functions/{slug}": Role.ADMIN,
    "DELETE /v1/functions/{slug}": Role.ADMIN,
    "POST /v1/functions/{slug}/pause": Role.OPERATOR,
    "POST /v1/functions/{slug}/resume": Role.OPERATOR,
    "POST /v1/replays": Role.OPERATOR,
    "GET /v1/replays": Role.VIEWER,
    "GET /v1/replays/{replay_id}": Role.VIEWER,
    "POST /v1/events": Role.SENDER,
    "GET /v1/dead-letters": Role.VIEWER,
    "GET /v1/dead-letters/classes": Role.VIEWER,
    "GET /v1/dead-letters/{partition}/{offset}": Role.VIEWER,
    "POST /v1/dead-letters/redrive": Role.OPERATOR,
    "GET /v1/activity": Role.VIEWER,
    "GET /v1/system": Role.OPERATOR,
    "GET /v1/audit": Role.ADMIN,
    "GET /v1/keys": Role.ADMIN,
    "POST /v1/keys": Role.ADMIN,
    "DELETE /v1/keys/{key_id}": Role.ADMIN,
    "GET /v1/read-model": Role.VIEWER,
    "GET /healthz/live": None,
    "GET /healthz/ready": None,
    "GET /metrics": None,
}
CLOSED = [name for name, role in NEEDED.items() if role is not None]


def routes() -> Iterator[str]:
    """Every route of the app."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield from (f"{method} {route.path}" for method in route.methods or ())


def call(api: Api, route: str, header: str | None) -> int:
    """The status of a call that is refused before it writes: what it sends is not valid."""
    method, path = route.split(" ")
    for name in ("{cancellation_id}", "{run_id}", "{replay_id}", "{event_id:anything}"):
        path = path.replace(name, "no-id" if method == "DELETE" else ID)
    headers = {} if header is None else {"Authorization": header}
    body = {"json": {"nonsense": True}} if method in {"POST", "PUT"} else {}
    path = path.replace("{slug}", "no-function").replace("{key_id}", "no-key")
    path = path.replace("{partition}/{offset}", "x/x")
    return api.call(method, path, role=None, headers=headers, **body).status_code


def test_each_route_has_its_entry() -> None:
    """Nobody adds a route without saying who may call it."""
    assert sorted(routes()) == sorted(NEEDED)


@pytest.mark.parametrize("role", list(Role))
def test_roles(api: Api, role: Role) -> None:
    """On every route, a role may do what is asked of a role that it covers, and nothing else."""
    found = {route: call(api, route, f"Bearer {api.keys[role][1]}") for route in NEEDED}
    refused = {route for route, status in found.items() if status == 403}
    assert refused == {
        name for name, needed in NEEDED.items() if needed and needed not in COVERED[role]
    }
    assert {route: status for route, status in found.items() if status in {401, 500}} == {}


def test_a_sender_only_sends(api: Api) -> None:
    """Who produces events over REST can't even read what became of them."""
    header = f"Bearer {api.keys[Role.SENDER][1]}"
    assert [route for route in CLOSED if call(api, route, header) != 403] == ["POST /v1/events"]


def test_no_route_without_a_valid_key(api: Api) -> None:
    """A missing, malformed, unknown, wrong or revoked key is refused before anything is read."""
    text = api.keys[Role.ADMIN][1]
    other = api.keys[Role.VIEWER][1]
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    swapped = "_".join((*text.split("_")[:2], other.split("_", 2)[2]))
    unknown = "cmk_0000000000000000_" + "x" * 43
    bearers = (wrong, swapped, unknown, f"{text} {text}", "\xfc", "cmk_", text.upper())
    headers = [None, "Bearer", text, f"Basic {text}", *(f"Bearer {one}" for one in bearers)]
    revoke_key(api.service.engine, api.keys[Role.OPERATOR][0].id, now_ms(), actor=None)
    headers.append(f"Bearer {api.keys[Role.OPERATOR][1]}")
    let_in = [(route, header) for route in CLOSED for header in headers
        if call(api, route, header) != 401]  # fmt: skip
    assert let_in == []


def test_probes_need_no_key(api: Api) -> None:
    """Orchestrators and Prometheus have none."""
    probes = [name for name, role in NEEDED.items() if role is None]
    assert {call(api, route, None) for route in probes} <= {200, 503}


def test_the_answer_says_how(api: Api) -> None:
    """A missing key is answered as RFC 9110 has it, and a low role with what is needed."""
    missing = api.call("GET", "/v1/runs", role=None)
    assert missing.headers["WWW-Authenticate"].startswith("Bearer")
    assert missing.json()["code"] == "key_missing"
    wrong = api.call("GET", "/v1/runs", role=None, headers={"Authorization": "Bearer x"})
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    low = api.call("GET", "/v1/audit", role=Role.VIEWER)
    assert low.json()["code"] == "role_too_low"
    assert "admin" in low.json()["detail"]


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_revoked_key_is_refused_within_a_second(api: Api) -> None:
    """A key that was just used is remembered for so long, and no longer."""
    clock = Clock()
    engine = api.service.engine
    authenticator = Authenticator(engine, clock)
    key, text = create_key(engine, "leaver", Role.VIEWER, 0, actor=None)
    header = f"Bearer {text}"
    assert asyncio.run(authenticator.caller(header)).id == key.id
    revoke_key(engine, key.id, 1, actor=None)
    clock.now += REMEMBERED_S
    with pytest.raises(ProblemError) as refused:
        asyncio.run(authenticator.caller(header))
    assert refused.value.status == 401


@pytest.mark.parametrize("known", [True, False])
def test_keys_are_compared_in_constant_time(
    api: Api, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Also a key with an unknown id is compared, over as many bytes."""
    seen: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        seen.append((len(left), len(right)))
        return hmac_compare(left, right)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    text = api.keys[Role.VIEWER][1] if known else "cmk_0000000000000000_" + "x" * 43
    assert call(api, "GET /v1/runs", f"Bearer {text}") == (200 if known else 401)
    assert seen == [(32, 32)]
