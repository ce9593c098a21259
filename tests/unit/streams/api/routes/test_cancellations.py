"""What a cancellation may ask for, what it looks like, and which runs it lists."""

from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from streams.api.routes.cancellations import CancellationBody
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import FAILURES, PROGRESS, REQUESTS
from tests.support.api import Api, add_runs, run_id, run_row

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
PATH = "/v1/cancellations"
AT = 1_700_000_000_000
# As Inngest documents it.
INNGEST = {
    "app_id": "acme-app",
    "function_id": "schedule-reminder",
    "started_after": "2024-01-21T18:23:12.000Z",
    "started_before": "2024-01-22T14:22:42.130Z",
    "if": "event.data.userId == 'user_o9235hf84hf'",
}

SAME_SLUG = """
functions:
  - {id: reminder, app: acme-app-schedule, triggers: [{event: reminder/requested}]}
"""


def errors(api: Api, body: Any) -> dict[str, tuple[str, str]]:
    """The code and text of each wrong field, by its pointer."""
    answer = api.post(PATH, body)
    assert answer.status_code == 400, answer.text
    found = answer.json()
    assert found["code"] == "invalid_request"
    assert found["error"] == found["detail"] == "\n".join(one["detail"] for one in found["errors"])
    return {one["pointer"]: (one["code"], one["detail"]) for one in found["errors"]}


def stored(api: Api, **changes: Any) -> None:
    """Put a cancellation into the read model."""
    body = {"app_id": "acme-app", "function_id": "schedule-reminder", "started_before": AT}
    row = {
        "request_id": ID,
        "type": "cancel_runs",
        "target": ID,
        "function_id": "acme-app-schedule-reminder",
        "requested_by": "ann",
        "at": AT,
        "received_at": AT,
    }
    with writing(api.service.engine) as connection:
        text = orjson.dumps(body | changes).decode()
        connection.execute(insert(REQUESTS).values(row | {"body": text}))


def progressed(api: Api, partition: int, state: str, **counts: Any) -> None:
    """Put the progress of one partition into the read model."""
    names = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    row = dict.fromkeys(names, 0) | {"request_id": ID, "partition": partition, "state": state}
    with writing(api.service.engine) as connection:
        values = row | {"sample": "[]", "updated_at": AT} | counts
        connection.execute(insert(PROGRESS).values(values))


def test_all_wrong_fields_at_once(api: Api) -> None:
    """Whoever writes a body by hand learns everything from one answer, in Inngest's words."""
    assert errors(api, {}) == {
        "/app_id": ("required", "app_id is required"),
        "/function_id": ("required", "function_id is required"),
        "/started_before": ("required", "started_before is required"),
    }
    wrong = {
        "app_id": "",
        "function_id": 3,
        "started_before": "2099-01-01T00:00:00Z",
        "started_after": "2024-01-01T00:00:00",
        "if": "event.data.a ==",
        "startedBefore": 1,
        "reason": "x" * 1025,
    }
    found = errors(api, wrong)
    assert {pointer: code for pointer, (code, _) in found.items()} == {
        "/app_id": "required",
        "/function_id": "string_type",
        "/started_before": "future",
        "/started_after": "instant",
        "/if": "expression",
        "/startedBefore": "unknown_field",
        "/reason": "string_too_long",
    }
    assert found["/started_before"][1] == "started_before must be in the past"
    assert found["/if"][1].startswith("invalid expression: ")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"started_after": "2024-01-22T14:22:42.130Z"}, "/started_after", "order"),
    ({"started_before": 1705933362130}, "/started_before", "instant"),
    ({"started_before": "2024-01-22"}, "/started_before", "instant"),
    ({"started_before": "yesterday"}, "/started_before", "instant"),
    ({"started_before": None}, "/started_before", "instant"),
    ({"if": "async.data.x == 1"}, "/if", "expression"),
    ({"if": ""}, "/if", "expression"),
    ({"if": "x" * 3000}, "/if", "expression"),
    ({"name": "n\0"}, "/name", "character"),
    ({"name": "n" * 257}, "/name", "string_too_long"),
    ({"reason": "ü" * 513}, "/reason", "too_long"),
    ({"dry_run": "perhaps"}, "/dry_run", "bool_parsing"),
    ({"app_id": "a" * 201}, "/app_id", "string_too_long"),
    ({"expected": -1}, "/expected", "greater_than_equal"),
    ({"expected": 1 << 53}, "/expected", "less_than_equal"),
    ({"expected": 1.5}, "/expected", "int_from_float"),
]


def test_one_wrong_field(api: Api) -> None:
    """Each kind of mistake has its own code and place."""
    for change, pointer, code in WRONG:
        found = errors(api, INNGEST | change)
        assert {where: kind for where, (kind, _) in found.items()} == {pointer: code}, change


def test_an_expression_is_refused_with_its_place(api: Api) -> None:
    """A tool can put the cursor where the mistake is."""
    (error,) = api.post(PATH, INNGEST | {"if": "event.data.a == async.b"}).json()["errors"]
    assert error["position"] == 16
    assert "column 17" in error["detail"]


@pytest.mark.parametrize("ahead_ms", [-1_000, 0, 4_000])
def test_a_clock_that_is_a_little_ahead_is_tolerated(ahead_ms: int) -> None:
    """A client's "now" may be our near future."""
    at = now_ms() + ahead_ms
    text = datetime.fromtimestamp(at / 1000, timezone(timedelta(hours=2))).isoformat()
    body = CancellationBody.model_validate(INNGEST | {"started_before": text})
    assert abs(body.started_before - at) <= 1


def test_bounds_and_names_reach_the_record() -> None:
    """What is written is what was asked for, times as ms."""
    asked = INNGEST | {"dry_run": True, "name": "n", "expected": 7}
    record = CancellationBody.model_validate(asked).record()
    assert record.slug == "acme-app-schedule-reminder"
    assert (record.started_after, record.started_before) == (1705861392000, 1705933362130)
    assert (record.if_, record.name, record.dry_run) == (INNGEST["if"], "n", True)
    assert record.expected == 7
    leap = CancellationBody.model_validate(INNGEST | {"started_after": "2016-12-31T23:59:60Z"})
    assert leap.started_after == 1_483_228_799_000


def test_an_unknown_function_is_not_found(api: Api) -> None:
    """Only who has read all functions may say that one isn't there; else it is 503."""
    api.know()
    answer = api.post(PATH, INNGEST)
    assert answer.status_code == 404
    assert answer.json()["code"] == "function_not_found"
    api.know(fresh=False)
    answer = api.post(PATH, INNGEST)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("fresh", [True, False])
def test_another_function_with_the_same_slug_is_not_found(api: Api, *, fresh: bool) -> None:
    """App `acme-app-schedule` and id `reminder` make the same slug, and name no function here."""
    api.know(SAME_SLUG, fresh=fresh)
    found = api.post(PATH, INNGEST).json()
    if fresh:
        assert (found["status"], found["code"]) == (404, "function_not_found")
        whose = "acme-app-schedule-reminder is function reminder of app acme-app-schedule"
        assert whose in found["detail"]
    else:
        assert (found["status"], found["code"]) == (503, "kafka_unavailable")
        assert "which functions exist" in found["detail"]


def test_a_cancellation_is_not_replayed_as_another_function(api: Api) -> None:
    """Its function is long gone, and its slug is that of another one now."""
    stored(api)
    api.know(SAME_SLUG)
    found = api.post("/v1/replays", {"cancellation_id": ID}).json()
    assert (found["status"], found["code"]) == (404, "function_not_found")
    assert "is function reminder of app acme-app-schedule" in found["detail"]


@pytest.mark.parametrize(
    "path", [f"{PATH}/nonsense", f"{PATH}/{ID[:-1]}I", f"{PATH}/nonsense/runs"]
)
def test_an_id_that_is_none(api: Api, path: str) -> None:
    """As Inngest: 400 for what is no ULID."""
    answer = api.call("GET", path)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "cancellation_id"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_cancellation(api: Api, method: str) -> None:
    """404, in Inngest's words."""
    answer = api.call(method, f"{PATH}/{ID}")
    assert (answer.status_code, answer.json()["error"]) == (404, "Cancellation not found")


def test_counts_are_sums_over_partitions(api: Api) -> None:
    """What each partition told is added up; those that told nothing are still to come."""
    stored(api)
    assert api.get(f"{PATH}/{ID}")["data"]["status"] == "queued"
    progressed(api, 0, "done", scanned=5, matched=2, cancelled=2, already_ended=1)
    progressed(api, 1, "running", scanned=7, matched=3, cancelled=3, failed=1)
    found = api.get(f"{PATH}/{ID}")["data"]
    assert found["status"] == "running"
    assert found["counts"] == {
        "scanned": 12,
        "matched": 5,
        "cancelled": 5,
        "already_ended": 1,
        "failed": 1,
        "partitions_done": 1,
        "partitions": api.service.settings.partitions,
    }
    assert found["created_at"] == "2023-11-14T22:13:20.000Z"
    assert found["if"] is None


@pytest.mark.parametrize("sent", [{"expected": 120}, {"expected": 0}, {"expected": None}, {}])
def test_the_count_that_was_expected_is_shown(api: Api, sent: dict[str, int | None]) -> None:
    """Beside what was matched; records of releases that didn't know it have none."""
    stored(api, **sent)
    progressed(api, 0, "done", matched=123)
    found = api.get(f"{PATH}/{ID}")["data"]
    assert (found["expected"], found["counts"]["matched"]) == (sent.get("expected"), 123)


def test_runs_by_outcome(api: Api) -> None:
    """Cancelled, without an answer, ended before: each can be listed, page by page."""
    stored(api, started_before=AT + 100)
    slug = {"function_id": "acme-app-schedule-reminder"}
    add_runs(
        api.service,
        run_row(AT, 1, status="cancelled", cancellation_id=ID, ended_at=AT + 500, **slug),
        run_row(AT, 2, status="cancelled", cancellation_id=ID, ended_at=AT + 500, **slug),
        run_row(AT, 3, **slug),
        run_row(AT - 50, 4, status="completed", ended_at=AT - 10, **slug),
        run_row(AT + 100, 5, status="completed", ended_at=AT, **slug),
        run_row(AT - 50, 6, status="completed", ended_at=AT - 10),
    )
    with writing(api.service.engine) as connection:
        failure = {"request_id": ID, "run_id": run_id(AT, 3), "error": "no such key: x"}
        connection.execute(insert(FAILURES).values(failure))
    path = f"{PATH}/{ID}/runs"
    first = api.get(path, limit=1)
    assert [one["event_id"] for one in first["data"]] == ["e2"]
    second = api.get(path, limit=1, cursor=first["metadata"]["next_cursor"])
    assert [one["event_id"] for one in second["data"]] == ["e1"]
    assert second["metadata"]["next_cursor"] is None
    (failed,) = api.get(path, outcome="failed")["data"]
    assert (failed["event_id"], failed["failure"]) == ("e3", "no such key: x")
    (ended,) = api.get(path, outcome="already_ended")["data"]
    assert (ended["event_id"], ended["outcome"]) == ("e4", "already_ended")


def test_runs_that_had_begun_are_counted(api: Api) -> None:
    """Of one cancellation, and exactly: who starts them again must know."""
    assert api.call("GET", f"{PATH}/{ID}/begun").status_code == 404
    stored(api)
    assert api.get(f"{PATH}/{ID}/begun")["data"] == {"cancelled": 0, "begun": 0}
    ended = {"status": "cancelled", "cancellation_id": ID, "ended_at": AT}
    add_runs(
        api.service,
        *(run_row(AT, number, **ended) for number in range(5)),
        *(run_row(AT, number, started_at=AT, **ended) for number in range(5, 8)),
        run_row(AT, 8, started_at=AT, **ended | {"cancellation_id": run_id(AT)}),
        run_row(AT, 9, started_at=AT),
    )
    assert api.get(f"{PATH}/{ID}/begun")["data"] == {"cancelled": 8, "begun": 3}


def test_a_list_goes_from_new_to_old(api: Api) -> None:
    """By function, page by page; other requests aren't cancellations."""
    body = orjson.dumps({"app_id": "a", "function_id": "b", "started_before": AT}).decode()
    base = {"type": "cancel_runs", "target": "", "requested_by": "ann", "at": AT, "body": body}
    with writing(api.service.engine) as connection:
        for number in range(5):
            row = base | {"request_id": run_id(AT + number), "received_at": AT}
            row["function_id"] = "a-b" if number % 2 else "a-c"
            connection.execute(insert(REQUESTS).values(row))
        other = {"request_id": run_id(AT + 9), "type": "resume", "received_at": AT}
        connection.execute(insert(REQUESTS).values(base | other))
    assert [one["id"] for one in api.get(PATH)["data"]] == [
        run_id(AT + number) for number in (4, 3, 2, 1, 0)
    ]
    assert len(api.get(PATH, function_id="a-b")["data"]) == 2
    page = api.get(PATH, limit=3)
    rest = api.get(PATH, limit=3, cursor=page["metadata"]["next_cursor"])
    assert [one["id"] for one in rest["data"]] == [run_id(AT + 1), run_id(AT)]
