"""Records become rows: every field in its column, texts as they came, and nothing else gets in."""

import json
from typing import Any

import pytest
from sqlalchemy import Table

from streams.database.schema import FAILURES, PROGRESS, REQUESTS, RUNS
from streams.read_model import rows
from tests.support import records
from tests.support.records import RECEIVED, encoded
from topology.codec import CodecError


def named(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
    """A row by the names of its table's columns."""
    return dict(zip(table.c.keys(), row, strict=True))


def test_a_new_run_has_what_it_was_registered_with() -> None:
    """All that isn't there yet is null."""
    row = named(RUNS, rows.run_row(encoded(records.run(1)))[0])
    assert json.loads(row.pop("event")) == records.EVENT
    assert {name: value for name, value in row.items() if value is not None} == {
        "run_id": records.run_id(1),
        "function_id": "reports-generate",
        "app_id": "reports",
        "function_version": 7,
        "status": "scheduled",
        "seq": 1,
        "attempt": 1,
        "scheduled_at": RECEIVED,
        "changed_at": RECEIVED,
        "event_id": "e1",
        "event_name": "report/requested",
        "source_topic": "events",
        "source_partition": 2,
        "source_offset": 17,
    }


def test_a_changed_run_has_every_field_in_its_column() -> None:
    """The optional fields of the contract, all of them."""
    more = {
        "stopped_at": 4,
        "sleep_until": 5,
        "error": {"name": "E", "message": "m"},
        "cancellation_id": "C",
        "replay_of": "O",
        "replay_id": "R",
    }
    row = named(RUNS, rows.run_row(encoded(records.cancelled(1, **more)))[0])
    assert json.loads(row["cause"]) == records.CAUSE
    assert json.loads(row["error"]) == more["error"]
    wanted = {"status_before": "running", "started_at": RECEIVED + 5, "ended_at": RECEIVED + 9}
    wanted |= {"changed_at": RECEIVED + 9, "worker": "w1", "last_step": "render"}
    wanted |= {name: value for name, value in more.items() if name != "error"}
    assert {name: row[name] for name in wanted} == wanted


def test_an_event_is_kept_as_the_text_that_it_came_as() -> None:
    """Numbers, order and spaces of a user's event are the user's."""
    text = '{"id": "e1", "name":"n", "data": {"b": 1.0, "a": 12345678901234567890, "z": "\\u0000"}}'
    value = encoded(records.run(1)).replace(encoded(records.EVENT), text.encode())
    assert named(RUNS, rows.run_row(value)[0])["event"] == text


def test_unknown_fields_and_nulls_are_fine() -> None:
    """Readers ignore what they don't know; an optional field may be null."""
    nulls = dict.fromkeys(["cause", "error", "worker", "ended_at", "cancellation_id"])
    row = named(RUNS, rows.run_row(encoded(records.run(1, hue="red", **nulls)))[0])
    assert {name: row[name] for name in nulls} == nulls


def test_no_text_holds_a_nul() -> None:
    """PostgreSQL refuses it, and a run must not be missing for it."""
    event = records.EVENT | {"id": "a\0b", "name": "\0"}
    row = named(RUNS, rows.run_row(encoded(records.run(1, event=event, worker="w\0")))[0])
    assert (row["event_id"], row["event_name"], row["worker"]) == ("a�b", "�", "w�")
    assert "\0" not in row["event"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        encoded({"run_id": "x"}),
        encoded(records.run(1, seq="1")),
        encoded(records.run(1, event={"name": "n"})),
        encoded(records.cancelled(1, cause={"event": {"received": "soon"}})),
        encoded(records.run(1)).replace(b"report/requested", b"\xff\xfe"),
    ],
)
def test_what_is_no_run_is_refused(value: bytes) -> None:
    """It is counted and left out, by one kind of error."""
    with pytest.raises(CodecError, match="not a run"):
        rows.run_row(value)


@pytest.mark.parametrize(
    ("kind", "body", "function"),
    [
        ("cancel_runs", {"app_id": "a", "function_id": "f", "started_before": 5}, "a-f"),
        ("pause", {"function_id": "a-f"}, "a-f"),
        ("resume", {"function_id": "a-f"}, "a-f"),
        ("replay", {"function_id": "a-f", "from": 1, "to": 2, "statuses": ["failed"]}, "a-f"),
        ("cancel_run", {"run_id": "R"}, None),
        ("stop_cancellation", {"cancellation_id": "C"}, None),
    ],
)
def test_a_request_names_its_function_and_target(
    kind: str, body: dict[str, Any], function: str | None
) -> None:
    """Whatever is asked, it is found by the slug of its function and by what it is addressed to."""
    record = records.request(1, kind, body, reason="why")
    row = named(REQUESTS, rows.request_row(b"target", encoded(record), RECEIVED + 1))
    assert json.loads(row.pop("body")) == body
    assert row == {
        "request_id": records.request_id(1),
        "type": kind,
        "target": "target",
        "function_id": function,
        "requested_by": "ann",
        "reason": "why",
        "at": RECEIVED,
        "received_at": RECEIVED + 1,
    }


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (b"k", records.request(1, "unheard", {})),
        (b"k", records.request(1, "pause", {})),
        (b"\xff", records.request(1, "cancel_run", {})),
        (b"k", {"request_id": "x"}),
    ],
)
def test_what_is_no_request_is_refused(key: bytes, record: dict[str, Any]) -> None:
    """Routers refuse it too, so nobody would ever work on it."""
    with pytest.raises(CodecError, match="not a request"):
        rows.request_row(key, encoded(record), RECEIVED)


def test_progress_has_every_count() -> None:
    """And the sample as JSON."""
    counts = {"scanned": 1, "matched": 2, "cancelled": 3, "replayed": 4, "already_ended": 5}
    record = records.progress(1, 2, failed=6, outcome="not_found", error="e", **counts)
    row = named(PROGRESS, rows.progress_row(encoded(record | {"sample": ["a", "b"]})))
    assert json.loads(row.pop("sample")) == ["a", "b"]
    assert row == {
        "request_id": records.request_id(1),
        "partition": 2,
        "state": "done",
        "outcome": "not_found",
        "failed": 6,
        "error": "e",
        "updated_at": RECEIVED,
        **counts,
    }


def test_a_failure_names_run_and_error() -> None:
    """For the list of runs without an answer."""
    row = named(FAILURES, rows.failure_row(encoded(records.failure(1, 2, 3, "no\0"))))
    found = {"request_id": records.request_id(1), "run_id": records.run_id(3), "error": "no�"}
    assert row == found


def test_keys_of_progress_name_a_partition_or_a_run() -> None:
    """What is removed has no value, so its key says which row it was."""
    assert rows.progress_key(b"R/12") == ("R", 12)
    assert rows.progress_key(b"R/12/X") == ("R", "X")


@pytest.mark.parametrize("key", [b"", b"R", b"R/x", b"R/1/2/3", b"\xff"])
def test_other_keys_of_progress_are_refused(key: bytes) -> None:
    """They name no row."""
    with pytest.raises(CodecError, match="not a key"):
        rows.progress_key(key)


@pytest.mark.parametrize("read", [rows.progress_row, rows.failure_row])
def test_what_is_no_progress_is_refused(read: Any) -> None:
    """Of either kind."""
    with pytest.raises(CodecError):
        read(b"{}")
