"""What is written down of calls: the audit trail, the log, the metrics; never a key."""

import io
import logging
from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy import select

from streams import logs
from streams.api.call.roles import Role
from streams.database.schema import API_KEYS
from tests.support.api import Api

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
BODY = {"app_id": "reports", "function_id": "generate", "started_before": "2024-01-01T00:00:00Z"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, at the most talkative level, of every library."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("streams").level
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    root.setLevel(logging.DEBUG)
    yield stream
    root.handlers[:], level, own = before[0], before[1], before[2]
    root.setLevel(level)
    logging.getLogger("streams").setLevel(own)


def test_keys_are_never_logged(api: Api, lines: io.StringIO) -> None:
    """Neither good nor bad ones, whole or in part, whatever becomes of the call."""
    secret = "cmk_0000000000000000_" + "x" * 43
    for header in (f"Bearer {secret}", f"Basic {secret}", f"Bearer {secret} {secret}"):
        api.call("GET", "/v1/runs", role=None, headers={"Authorization": header})
    for role in Role:
        api.call("GET", "/v1/runs", role=role)
        api.post("/v1/cancellations", {"nonsense": 1}, role=role)
        api.call("GET", "/nothing", role=role)
    logged = lines.getvalue()
    secrets = [secret, "x" * 43, *(text for _, text in api.keys.values())]
    secrets += [text.split("_", 2)[2] for _, text in api.keys.values()]
    assert [one for one in secrets if one in logged] == []
    assert "authorization" not in logged.lower()
    assert logged.count('"Call"') == 3 + 3 * len(Role)


def test_keys_are_never_stored(api: Api) -> None:
    """The database has what a key is compared with, which is no key."""
    with api.service.engine.connect() as connection:
        rows = connection.execute(select(API_KEYS)).all()
    stored = repr([tuple(row) for row in rows])
    assert [text for _, text in api.keys.values() if text.split("_", 2)[2] in stored] == []


def test_a_call_is_one_line(api: Api, lines: io.StringIO) -> None:
    """Who, what, how it went; not what was searched for, which may be somebody's data."""
    answer = api.call("GET", "/v1/runs?if=event.data.mail=='a@example.org'", role=Role.VIEWER)
    api.call("GET", "/healthz/live", role=None)
    parsed = [orjson.loads(line) for line in lines.getvalue().splitlines()]
    # The client of this test logs too, and pytest hears loggers that nobody else does.
    (line,) = [one for one in parsed if one["logger"].startswith("streams.api")]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/runs", 200)
    assert line["key"] == api.keys[Role.VIEWER][0].id
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert "example.org" not in str(line)
    assert not logging.getLogger("uvicorn.access").propagate


def test_refused_writes_are_in_the_trail(api: Api) -> None:
    """By whom, about what, and why it was refused; reads and callers without the role are not."""
    api.know()
    api.post("/v1/cancellations", BODY | {"function_id": "nix", "reason": "why"})
    api.post("/v1/cancellations", {}, role=Role.OPERATOR)
    api.post("/v1/cancellations", BODY, role=Role.VIEWER)
    api.call("DELETE", f"/v1/cancellations/{ID}?reason=because")
    api.get("/v1/runs")
    entries = api.get("/v1/audit")["data"]
    assert [(one["action"], one["target"], one["outcome"]) for one in entries] == [
        ("stopCancellation", ID, "cancellation_not_found"),
        ("createCancellation", "", "invalid_request"),
        ("createCancellation", "reports-nix", "function_not_found"),
    ]
    assert [one["actor"] for one in entries] == ["a-admin", "a-operator", "a-admin"]
    assert [one["reason"] for one in entries] == ["because", None, "why"]


def test_the_trail_is_searched(api: Api) -> None:
    """By whom, what, about what, and when; page by page."""
    for number in range(5):
        api.call("DELETE", f"/v1/cancellations/{ID[:-1]}{number}")
    api.post("/v1/replays", {}, role=Role.OPERATOR)
    assert len(api.get("/v1/audit", action="stopCancellation")["data"]) == 5
    assert len(api.get("/v1/audit", actor="a-operator")["data"]) == 1
    (entry,) = api.get("/v1/audit", target=f"{ID[:-1]}3")["data"]
    assert len(api.get("/v1/audit", after=entry["at"], before=entry["at"])["data"]) == 0
    assert api.get("/v1/audit", after="2099-01-01T00:00:00Z")["data"] == []
    assert len(api.get("/v1/audit", before="2099-01-01T00:00:00Z")["data"]) == 6
    first = api.get("/v1/audit", limit=4)
    second = api.get("/v1/audit", limit=4, cursor=first["metadata"]["next_cursor"])
    assert (len(first["data"]), len(second["data"])) == (4, 2)
    assert second["metadata"]["next_cursor"] is None


def test_calls_are_counted_by_route(api: Api) -> None:
    """Not by path: an id in a label would grow the page for ever."""
    api.call("GET", f"/v1/runs/{ID}")
    api.call("GET", "/v1/nothing/of/the/kind")
    page = api.call("GET", "/metrics", role=None).text
    wanted = 'countermand_api_calls_total{method="GET",route="/v1/runs/{run_id}",status="404"} 1.0'
    assert wanted in page
    assert ID not in page
    assert "of/the/kind" not in page
