"""What a run looks like, and what is known of it without asking anybody."""

import json
from typing import Any

import pytest

from streams.api.call.api_key import ApiKey
from streams.api.call.call import Call
from streams.api.call.roles import Role
from streams.api.fields import Json
from streams.api.routes.cancellations import CancellationRun, Outcome, cancellation_run
from streams.api.routes.runs import RunPage, cancelled_fields
from streams.api.run_model import Run
from streams.database.schema import RUNS
from tests.support.api import Api, add_runs, run_id, run_row
from topology.statuses import Status

AT = 1_700_000_000_000
CAUSE = '{"type": "event", "rule": {"index": 0}}'
ENDED = {
    "status": "cancelled",
    "ended_at": AT + 1,
    "stopped_at": AT + 2,
    "started_at": AT,
    "worker": "w",
    "last_step": "s",
    "cause": CAUSE,
    "error": '{"name": "E"}',
}


def test_a_run_is_as_documented(api: Api) -> None:
    """Written without a model, it has all that the model has, and nothing else."""
    add_runs(api.service, run_row(AT, 1, **ENDED), run_row(AT, 2))
    found = api.get("/v1/runs")
    assert RunPage.model_validate(found).model_dump(mode="json") == found
    assert found["data"][0].keys() == Run.model_fields.keys()
    one = api.get(f"/v1/runs/{run_id(AT, 1)}")["data"]
    assert one == found["data"][1]
    assert (one["status"], one["run_started_at"]) == ("Cancelled", "2023-11-14T22:13:20.000Z")
    assert one["ended_at"] == "2023-11-14T22:13:20.001Z"
    assert one["cause"] == {"type": "event", "rule": {"index": 0}}
    assert one["event"] == {
        "name": "report/requested", "data": {"n": 1}, "id": "e1", "ts": 0,
    }  # fmt: skip
    row = dict.fromkeys(RUNS.c.keys()) | run_row(AT, 1)
    listed = cancellation_run(row, Outcome.CANCELLED, None)
    assert listed.keys() == CancellationRun.model_fields.keys()


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"id": 'c"1', "received": AT}, {"id": 'c"1', "received": "2023-11-14T22:13:20.000Z"}),
        ({"received": None}, {"received": None}),
        ({"id": "c1"}, {"id": "c1"}),
        (None, None),
    ],
)
def test_the_received_time_of_a_cancel_event(api: Api, event: Json, shown: Json) -> None:
    """RFC 3339 as other times; joiners of older releases have not told it."""
    rest = {"type": "event", "rule": {"index": 0, "expression": '"received":1'}}
    cause = rest | {"event": event}
    add_runs(api.service, run_row(AT, 1, **{**ENDED, "cause": json.dumps(cause)}))
    assert api.get(f"/v1/runs/{run_id(AT, 1)}")["data"]["cause"] == rest | {"event": shown}


@pytest.mark.parametrize("text", [run_id(AT, 1), run_id(AT, 1).lower()])
def test_an_id_in_any_case(api: Api, text: str) -> None:
    """A ULID's letters have no case."""
    add_runs(api.service, run_row(AT, 1))
    assert api.get(f"/v1/runs/{text}")["data"]["run_id"] == run_id(AT, 1)


def test_filters(api: Api) -> None:
    """As they stand in a URL."""
    add_runs(api.service, run_row(AT, 1, **ENDED), run_row(AT, 2), run_row(AT, 3))
    counts = {
        "status=Cancelled": 1,
        "status=cancelled&status=SCHEDULED": 3,
        "status=Completed": 0,
        "if=event.data.n>2": 1,
        "function_id=reports-generate": 3,
        "function_id=reports": 0,
        "received_after=2023-11-14T22:13:20Z": 0,
        "received_before=2023-11-14T22:13:20.001Z": 3,
        "received_after=2023-11-15T00:13:19.999%2B02:00": 3,
        "ended_after=2023-11-14T22:13:20Z": 1,
        "ended_after=2023-11-14T22:13:20.001Z": 0,
        "ended_before=2023-11-14T22:13:20.002Z&status=cancelled": 1,
        "ended_before=2023-11-14T22:13:20.001Z": 0,
    }
    assert {query: len(api.get(f"/v1/runs?{query}")["data"]) for query in counts} == counts


def test_runs_are_counted_by_status(api: Api) -> None:
    """Every status is there, in the order of a run's life; of all functions, or of one."""
    add_runs(
        api.service,
        run_row(AT, 1, **ENDED),
        run_row(AT, 2, **ENDED),
        run_row(AT, 3),
        run_row(AT, 4, status="running", function_id="data-sync"),
    )
    of_all = {one["status"]: one["count"] for one in api.get("/v1/runs/counts")["data"]}
    assert list(of_all) == [status.capitalize() for status in Status]
    counts = {status: count for status, count in of_all.items() if count}
    assert counts == {"Scheduled": 1, "Running": 1, "Cancelled": 2}
    of_one = api.get("/v1/runs/counts", function_id="data-sync")["data"]
    assert [one for one in of_one if one["count"]] == [
        {"status": "Running", "count": 1, "capped": False}
    ]
    assert api.call("GET", "/v1/runs/counts?functionid=x").status_code == 400
    answer = api.call("DELETE", "/v1/runs/counts")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_an_unknown_run(api: Api) -> None:
    """404, in Inngest's words."""
    id_ = run_id(AT, 1)
    answer = api.call("GET", f"/v1/runs/{id_}")
    assert answer.status_code == 404
    assert answer.json()["error"] == f"Unable to load function run: {id_}"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("cancelled", "run_already_cancelled"),
        ("completed", "run_already_ended"),
        ("expired", "run_already_ended"),
    ],
)
def test_an_ended_run_is_not_asked_for(api: Api, status: str, code: str) -> None:
    """It never changes, so it is answered at once, though nobody answers where Kafka should be."""
    add_runs(api.service, run_row(AT, 1, status=status, ended_at=AT))
    answer = api.call("DELETE", f"/v1/runs/{run_id(AT, 1)}")
    assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_a_cancelled_run_whose_record_is_late() -> None:
    """It is shown as what it is, by whom and why."""
    call = Call(ApiKey("k", "ann", Role.OPERATOR, 0, None), "cancelRun", "i", "i", 0, reason="why")
    row: dict[str, Any] = dict.fromkeys(RUNS.c.keys()) | run_row(AT, 1)
    found = cancelled_fields(row, call)
    assert found.keys() == Run.model_fields.keys()
    assert found["status"] == "Cancelled"
    assert found["cause"] == {"type": "api", "requested_by": "ann", "reason": "why"}
    shown = cancelled_fields(row | {"status": "cancelled", "ended_at": AT}, call)
    assert (shown["status"], shown["cause"]) == ("Cancelled", None)
