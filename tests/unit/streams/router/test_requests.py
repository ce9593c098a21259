"""Records of `requests`: which commands they become, for which partitions, and what is refused."""

import json
from typing import Any

import pytest

from streams.router.drafts import Routed
from streams.router.record import Record
from streams.router.requests import _COMMANDS, route_request
from topology import keys, limits
from topology.records import CancelRun, CancelRuns, Pause, Replay, Request, Resume, StopCancellation
from topology.requests import REQUEST_TYPES

P = 8
ID = bytes(range(16))
OTHER = bytes(range(16, 32))
RUN = bytes(range(6)) + b"\x01\x03" + bytes(8)
REQUEST = Request(ID, "ada", "too long")
RANGE = {"app_id": "reports", "function_id": "generate", "started_before": 2_000}


def route(kind: object, body: object, **more: Any) -> Routed:
    """What becomes of a request."""
    record = {
        "request_id": keys.run_id_text(ID),
        "type": kind,
        "requested_by": "ada",
        "reason": "too long",
        "at": 1,
        "body": body,
        **more,
    }
    return route_bytes(json.dumps(record).encode())


def route_bytes(value: bytes | None) -> Routed:
    """What becomes of the bytes of a record."""
    return route_request(Record("requests", 0, 5, 1, b"key", value), P)


@pytest.mark.parametrize(
    ("kind", "body", "command"),
    [
        ("cancel_runs", RANGE, CancelRuns(REQUEST, "reports-generate", 0, 2_000)),
        (
            "cancel_runs",
            RANGE | {"started_after": 1_000, "if": "event.data.n > 1", "dry_run": True},
            CancelRuns(REQUEST, "reports-generate", 1_000, 2_000, "event.data.n > 1", dry_run=True),
        ),
        (
            "stop_cancellation",
            {"cancellation_id": keys.run_id_text(OTHER)},
            StopCancellation(REQUEST, OTHER),
        ),
        (
            "pause",
            {"function_id": "reports-generate"},
            Pause(REQUEST, "reports-generate", "later", limits.PAUSE_AFTER_MS),
        ),
        ("resume", {"function_id": "reports-generate"}, Resume(REQUEST, "reports-generate")),
        (
            "replay",
            {"function_id": "reports-generate", "from": 1, "to": 9, "statuses": ["failed"]},
            Replay(REQUEST, "reports-generate", 1, 9, ("failed",)),
        ),
    ],
)
def test_every_partition_hears_of_what_concerns_a_function(
    kind: str, body: dict[str, object], command: object
) -> None:
    """Runs of a function are everywhere."""
    drafts = route(kind, body).drafts
    assert sorted(drafts) == list(range(P))
    assert all(draft.commands == [command] for draft in drafts.values())


def test_one_run_is_cancelled_at_its_home() -> None:
    """Its id says where that is."""
    drafts = route("cancel_run", {"run_id": keys.run_id_text(RUN)}).drafts
    assert {place: draft.commands for place, draft in drafts.items()} == {
        keys.partition_of_run(RUN, P): [CancelRun(REQUEST, RUN)]
    }


def test_bounds_beyond_all_times_are_brought_to_their_ends() -> None:
    """A range may be as wide as somebody likes."""
    routed = route("cancel_runs", RANGE | {"started_after": -5, "started_before": 2**60})
    [command] = routed.drafts[0].commands
    assert isinstance(command, CancelRuns)
    assert (command.after, command.before) == (0, keys.TIME_END_MS - 1)


@pytest.mark.parametrize(
    ("kind", "body", "more", "what"),
    [
        ("explode", {}, {}, "cancel_runs"),
        (["pause"], {}, {}, "type"),
        ("cancel_runs", {}, {}, "app_id"),
        ("cancel_runs", RANGE | {"started_before": "now"}, {}, "started_before"),
        ("cancel_runs", RANGE | {"if": "event.data.x =="}, {}, "if: "),
        ("cancel_runs", RANGE | {"if": "async.data.x == 1"}, {}, "if: "),
        ("cancel_runs", RANGE | {"app_id": "a" * limits.SLUG_CHARS}, {}, "function_id"),
        ("cancel_run", {"run_id": "x"}, {}, "not a run id"),
        ("pause", {"function_id": "a-b", "running": "soon"}, {}, "running"),
        ("pause", {"function_id": "a-b", "after": -1}, {}, "after"),
        ("pause", {"function_id": ""}, {}, "function_id"),
        (
            "replay",
            {"function_id": "a-b", "from": 1, "to": 2, "statuses": ["running"]},
            {},
            "statuses",
        ),
        ("resume", {"function_id": "a-b"}, {"reason": "x" * 1_025}, "reason"),
        ("resume", {"function_id": "a-b"}, {"requested_by": "x" * 257}, "requested_by"),
        ("resume", {"function_id": "a-b"}, {"request_id": "1"}, "not a run id"),
        ("resume", [], {}, "Expected"),
    ],
)
def test_what_is_wrong_is_said(kind: object, body: object, more: dict[str, Any], what: str) -> None:
    """Somebody asked for something, so it isn't dropped in silence."""
    [rejection] = route(kind, body, **more).rejections
    assert what in rejection.message


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"nonsense", b"[" * 500_000])
def test_what_is_no_request_is_refused(value: bytes | None) -> None:
    """Requests are held to JSON of their shape."""
    [rejection] = route_bytes(value).rejections
    assert rejection.kind == "bad_request"


def test_a_request_beyond_the_limit_is_refused() -> None:
    """Requests have a size limit like events."""
    [rejection] = route_bytes(b" " * (limits.EVENT_BYTES + 1)).rejections
    assert "at most" in rejection.message


def test_every_type_of_request_becomes_a_command() -> None:
    """A type in the table of requests without a way to read it would fail when it comes."""
    assert set(_COMMANDS) == {kind.body for kind in REQUEST_TYPES.values()}
