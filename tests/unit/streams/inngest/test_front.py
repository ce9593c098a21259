"""What apps may call, and what they are told."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from streams.api.call.api_key import ApiKey
from streams.api.problems import ProblemError
from streams.api.producer import Outgoing
from streams.errors import UnreachableError
from streams.inngest import front
from streams.inngest.front import BODY_BYTES, Front
from streams.inngest.register import Taken
from streams.inngest.registration import RegistrationError
from streams.inngest.signing import Keys, SigningKey

KEY = "signkey-test-0123456789abcdef"


class Desk:
    """Stands for Kafka and the database; `error` is raised by either."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[Outgoing] = []
        self.bodies: list[bytes] = []
        self._error = error

    def send(self, records: Sequence[Outgoing]) -> list[int]:
        """Keep records."""
        self._raise()
        self.sent += records
        return [0] * len(records)

    def take(self, body: bytes, _sdk: str) -> Taken:
        """Keep a registration."""
        self._raise()
        self.bodies.append(body)
        return Taken("app", (), ("warned",))

    async def caller(self, header: str) -> ApiKey:
        """Know two keys."""
        roles = {"Bearer sender": "sender", "Bearer other": "unknown", "Bearer mine": "admin"}
        if header not in roles:
            raise ProblemError(401, "key_invalid", "The API key is not valid")
        return ApiKey("id", "name", roles[header], 0, None)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class Client:
    """An app's way to a front."""

    def __init__(self, desk: Desk, keys: Keys | None = None, host: str = "localhost:8288") -> None:
        """In development, unless there are keys."""
        served = Front(keys or Keys(()), desk, desk, desk, "events")  # type: ignore[arg-type]  # stands for all
        self._app, self._url = served.app(), f"http://{host}"

    def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Make one call."""

        async def made() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._url) as client:
                return await client.request(method, path, **how)

        return asyncio.run(made())

    def post(self, path: str, **how: Any) -> httpx.Response:
        """Make a call with a body."""
        return self.call("POST", path, **how)


def signed() -> Keys:
    """Keys of production."""
    return Keys([SigningKey(KEY)])


def test_events_are_sent() -> None:
    """The answer has `status` in its body too: without it, TypeScript sends again and again."""
    desk = Desk()
    answer = Client(desk).post("/e/NO_EVENT_KEY_SET", json=[{"name": "a/b", "id": "1"}])
    assert (answer.status_code, answer.json()) == (200, {"ids": ["1"], "status": 200})
    assert [record.topic for record in desk.sent] == ["events"]


@pytest.mark.parametrize(
    ("key", "status"), [("sender", 200), ("wrong", 401), ("other", 403), ("mine", 403)]
)
def test_an_event_key_is_an_api_key(key: str, status: int) -> None:
    """Of the role that may do nothing else; others are refused in the SDKs' words."""
    answer = Client(Desk(), signed(), "anything").post(f"/e/{key}", json={"name": "a"})
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/e/k", b"[]", 400, "1 to"),
        ("POST", "/e/k", b"x" * (BODY_BYTES + 1), 413, "at most"),
        ("GET", "/e/k", b"", 501, "isn't supported"),
        ("POST", "/v0/connect/start", b"", 501, "connect"),
        ("POST", "/v1/checkpoint/x/async", b"{}", 501, "/v1/checkpoint/x/async"),
        ("GET", "/", b"", 501, "docs/inngest.md"),
    ],
)
def test_refusals(method: str, path: str, body: bytes, status: int, says: str) -> None:
    """Each has `error` and `status`, which every SDK shows."""
    answer = Client(Desk()).call(method, path, content=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert says in answer.json()["error"]


def test_registration_needs_the_signing_key() -> None:
    """As its hash, with or without what stands before the hex digits."""
    desk = Desk()
    calls = Client(desk, signed())
    hashed = "55c53f5d490297900cefa825d0c8e8e9532ee8a118abe7d8570762cd38be9818"
    for authorization, status in ((f"Bearer {hashed}", 200), ("Bearer wrong", 401), ("", 401)):
        headers = {"authorization": authorization} if authorization else {}
        assert calls.post("/fn/register", content=b"{}", headers=headers).status_code == status
    assert desk.bodies == [b"{}"]


def test_a_refused_registration_says_everything() -> None:
    """TypeScript takes the status from the body, and shows `error` alone."""
    calls = Client(Desk(RegistrationError(["one thing", "another"])))
    answer = calls.post("/fn/register", content=b"{}")
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "one thing; another", "status": 400},
    )


def test_kafka_is_away() -> None:
    """The SDK tries again later."""
    answer = Client(Desk(UnreachableError("no broker"))).post("/e/k", json={"name": "a"})
    assert (answer.status_code, answer.json()) == (503, {"error": "no broker", "status": 503})


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8288", None, 200),
        ("127.0.0.1:8288", None, 200),
        ("[::1]:8288", None, 200),
        ("localhost:8288", "http://localhost:3000", 200),
        ("evil.example:8288", None, 403),
        ("localhost:8288", "https://evil.example", 403),
        ("localhost:8288", "null", 403),
    ],
)
def test_development_serves_this_machine_alone(host: str, origin: str | None, status: int) -> None:
    """A page of elsewhere in a browser here can post here: its host or origin gives it away."""
    headers: dict[str, Any] = {} if origin is None else {"origin": origin}
    answer = Client(Desk(), host=host).post("/e/k", json={"name": "a"}, headers=headers)
    assert answer.status_code == status


def test_hosts_of_this_machine() -> None:
    """By name alone: a name that only leads here isn't enough."""
    names = ("localhost", "127.0.0.1", "127.1.2.3", "::1", "localhost.evil.example", "10.0.0.1", "")
    assert [front.is_this_machine(name) for name in names] == [True] * 4 + [False] * 3
