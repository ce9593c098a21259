"""What replays, pauses, definitions and events may ask for."""

from typing import Any
from urllib.parse import quote

import pytest

from streams.api.call.api_key import ApiKey
from streams.api.call.call import Call
from streams.api.call.roles import Role
from streams.api.problems import ProblemError
from streams.api.routes.events import read_events
from tests.support.api import FUNCTIONS, Api, add_runs, run_row
from topology import limits

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
RANGE = {
    "function_id": "reports-generate",
    "from": "2024-01-21T00:00:00Z",
    "to": "2024-01-22T00:00:00Z",
    "statuses": ["cancelled"],
}
CALL = Call(ApiKey("k", "me", Role.ADMIN, 0, None), "sendEvents", ID, ID, 0)


def wrong(api: Api, path: str, body: Any, method: str = "POST") -> dict[str, str]:
    """The code of each wrong field, by its pointer."""
    answer = api.call(method, path, json=body)
    assert answer.status_code == 422, answer.text
    return {one["pointer"]: one["code"] for one in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            {},
            {
                "/function_id": "required",
                "/to": "required",
                "/from": "required",
                "/statuses": "required",
            },
        ),
        ({"cancellation_id": "x"}, {"/cancellation_id": "string_pattern_mismatch"}),
        (
            RANGE | {"cancellation_id": ID},
            {
                "/function_id": "conflict",
                "/to": "conflict",
                "/from": "conflict",
                "/statuses": "conflict",
            },
        ),
        (RANGE | {"from": "2024-01-22T00:00:00Z"}, {"/from": "order"}),
        (RANGE | {"to": "2099-01-01T00:00:00Z"}, {"/to": "future"}),
        (RANGE | {"statuses": []}, {"/statuses": "too_short"}),
        (RANGE | {"statuses": ["completed"]}, {"/statuses/0": "enum"}),
        (RANGE | {"spread": "1h30m"}, {"/spread": "duration"}),
        (RANGE | {"spread": 60}, {"/spread": "duration"}),
        (RANGE | {"spread": "367d"}, {"/spread": "duration"}),
    ],
)
def test_replays(api: Api, body: Any, found: dict[str, str]) -> None:
    """Either a cancellation, or a function with a range and statuses; nothing half."""
    assert wrong(api, "/v1/replays", body) == found


def test_a_replay_spread_beyond_what_runs_wait(api: Api) -> None:
    """Runs that would expire before they are dispatched are refused (S30)."""
    api.know()
    assert wrong(api, "/v1/replays", RANGE | {"spread": "31d"}) == {"/spread": "too_long"}


def test_a_replay_of_nothing(api: Api) -> None:
    """An unknown cancellation or function is not found."""
    api.know()
    for body in ({"cancellation_id": ID}, RANGE | {"function_id": "reports-nix"}):
        assert api.post("/v1/replays", body).status_code == 404


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"running": "soon"}, {"/running": "enum"}),
        ({"after": "7"}, {"/after": "duration"}),
        ({"until": "7d"}, {"/until": "unknown_field"}),
    ],
)
def test_pauses(api: Api, body: Any, found: dict[str, str]) -> None:
    """A misspelt field would pause in another way than meant."""
    assert wrong(api, "/v1/functions/reports-generate/pause", body) == found


def test_a_deleted_function_is_shown_if_asked_for(api: Api) -> None:
    """While runs of it may be unfinished; it can't be paused, and says why."""
    api.delete(FUNCTIONS, "reports-generate")
    path = "/v1/functions/reports-generate"
    for answer in (api.call("GET", path), api.post(f"{path}/pause", {})):
        assert (answer.status_code, answer.json()["code"]) == (404, "function_not_found")
        assert "was deleted" in answer.json()["detail"]
    found = api.get(path, deleted=True)["data"]
    assert (found["app_id"], found["id"]) == ("reports", "generate")
    assert [one["deleted"] for one in found["versions"]] == [True, False]
    assert "reports-generate" not in str(api.get("/v1/functions")["data"])
    assert api.get("/v1/functions/data-sync", deleted=True)["data"]["id"] == "sync"
    assert api.call("GET", "/v1/functions/reports-nix?deleted=true").status_code == 404


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_an_unknown_function_is_not_paused(api: Api, action: str) -> None:
    """A body isn't needed, but a function is."""
    api.know()
    answer = api.call("POST", f"/v1/functions/reports-nix/{action}")
    assert (answer.status_code, answer.json()["code"]) == (404, "function_not_found")


def test_definitions(api: Api) -> None:
    """Everything that `functions apply` refuses, at once, with its place."""
    definition = {
        "id": "generate",
        "app": "reports",
        "triggers": [{"event": "a", "if": "event.data.x =="}],
        "cancelOn": [{"event": "b"}, {"event": "c", "match": "event.data.id"}],
        "lease": "1ms",
    }
    found = wrong(api, "/v1/functions/reports-generate", definition, "PUT")
    assert found == {
        "/triggers/0/if": "expression",
        "/cancelOn/0": "unscoped",
        "/cancelOn/1/match": "expression",
        "/lease": "duration",
    }
    other = {"id": "generate", "app": "reports", "triggers": [{"event": "a"}]}
    assert wrong(api, "/v1/functions/reports-other", other, "PUT") == {"/id": "slug"}
    assert wrong(api, "/v1/functions/reports-other", [], "PUT").keys() == {""}


def test_functions_are_shown(api: Api) -> None:
    """By slug, page by page, with how each rule finds its runs."""
    api.know()
    first = api.get("/v1/functions", limit=1)
    assert [one["function_id"] for one in first["data"]] == ["data-sync"]
    second = api.get("/v1/functions", limit=1, cursor=first["metadata"]["next_cursor"])
    assert [one["function_id"] for one in second["data"]] == ["reports-generate"]
    assert second["metadata"]["next_cursor"] is None
    found = api.get("/v1/functions/reports-generate")["data"]
    (rule,) = found["rules"]
    assert (rule["indexed"], rule["keys"]) == (True, [["data.id"]])
    assert (found["paused"], found["pause"]) == (False, None)
    assert found["unfinished"] == {"count": 0, "capped": False}
    add_runs(api.service, run_row(1, 1), run_row(1, 2), run_row(1, 3, status="failed"))
    listed = {one["function_id"]: one["unfinished"] for one in api.get("/v1/functions")["data"]}
    assert listed == {
        "data-sync": {"count": 0, "capped": False},
        "reports-generate": {"count": 2, "capped": False},
    }
    assert len(found["versions"]) == 1
    assert api.call("GET", "/v1/functions/reports-nix").status_code == 404


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (1, "not_an_object"),
        (None, "not_an_object"),
        ({}, "no_name"),
        ({"name": ""}, "no_name"),
        ({"name": "n" * 257}, "name_too_long"),
        ({"name": "n", "data": []}, "data_not_an_object"),
        ({"name": "n", "id": 1}, "bad_id"),
        ({"name": "n", "id": "x" * 257}, "bad_id"),
        ({"name": "n", "ts": "soon"}, "bad_ts"),
        ({"name": "n", "data": {"n": 2**64}}, "integer_too_large"),
        ({"name": "n", "data": {"n": "x" * limits.EVENT_BYTES}}, "too_large"),
    ],
)
def test_events(event: Any, code: str) -> None:
    """What routers would put aside is refused here, with the place in the list."""
    with pytest.raises(ProblemError) as refused:
        read_events([{"name": "good"}, event], CALL)
    (error,) = refused.value.errors
    assert (error.pointer, error.code) == ("/1", code)


@pytest.mark.parametrize("count", [0, limits.EVENTS_PER_CALL + 1])
def test_no_events_or_too_many(count: int) -> None:
    """One call is one batch."""
    with pytest.raises(ProblemError):
        read_events([{"name": "n"}] * count, CALL)


def test_an_event_gets_the_same_id_again() -> None:
    """A repeated call has the same id, so its events are the same events."""
    first = read_events([{"name": "n"}, {"name": "n", "id": "mine"}, {"name": "n"}], CALL)
    assert [id_ for id_, _ in first] == [f"{ID}-0", "mine", f"{ID}-2"]
    assert read_events([{"name": "n"}, {"name": "n", "id": "mine"}, {"name": "n"}], CALL) == first


@pytest.mark.parametrize("event_id", ["e1", "a/b", "a/runs", "line\nend", "50% ü", "x" * 256])
def test_runs_of_any_event(api: Api, event_id: str) -> None:
    """An event's id may be anything that a producer makes up."""
    add_runs(api.service, run_row(1_700_000_000_000, 1, event_id=event_id), run_row(1, 2))
    found = api.get(f"/v1/events/{quote(event_id, safe='')}/runs")["data"]
    assert [run["event_id"] for run in found] == [event_id]
