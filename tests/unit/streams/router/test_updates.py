"""Run updates: what workers may say, and where it goes."""

import json
from typing import Any

import pytest

from streams.router.drafts import Routed
from streams.router.record import Record
from streams.router.updates import route_update
from topology import keys, limits
from topology.records import Update

P = 8
RUN = bytes(range(6)) + b"\x01\x03" + bytes(8)
RUN_ID = keys.run_id_text(RUN)


def record(value: object) -> Record:
    """A record of an internal topic."""
    data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Record("run-updates", 0, 5, 1, b"key", data)


def update(**fields: Any) -> Routed:
    """What becomes of an update."""
    return route_update(record(fields), P)


def refused(**fields: Any) -> str:
    """Why an update goes to the dead letters."""
    routed = update(**fields)
    assert routed.drafts == {}
    [rejection] = routed.rejections
    assert rejection.message
    return rejection.kind


def only_command(routed: Routed) -> tuple[int, Update]:
    """The one command of an update, and its partition."""
    [(partition, draft)] = routed.drafts.items()
    [command] = draft.commands
    assert isinstance(command, Update)
    return partition, command


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "running", "worker": "w"}, Update(RUN, b"", "running", 2, "w")),
        (
            {"status": "sleeping", "step": "s1", "until": 9, "at": 3, "unknown": 1},
            Update(RUN, b"", "sleeping", 2, "", "s1", 9),
        ),
        ({"status": "completed", "step": None}, Update(RUN, b"", "completed", 2)),
        (
            {"status": "failed", "error": {"name": "E", "message": "m"}},
            Update(RUN, b"", "failed", 2, error=("E", "m")),
        ),
        ({"status": "stopped"}, Update(RUN, b"", "stopped", 2)),
    ],
)
def test_update_by_run_goes_to_its_home(fields: dict[str, Any], expected: Update) -> None:
    """The run's id alone tells its partition."""
    routed = update(run_id=RUN_ID, attempt=2, **fields)
    assert only_command(routed) == (keys.partition_of_run(RUN, P), expected)


def test_update_by_event_goes_everywhere() -> None:
    """A worker that knows only the event doesn't know where the run is."""
    routed = update(function_id="shop-ship", event_id="e1", status="completed")
    expected = Update(b"", keys.event_key("shop-ship", "e1"), "completed")
    assert {number: draft.commands for number, draft in routed.drafts.items()} == {
        number: [expected] for number in range(P)
    }


def test_heartbeat_is_split_by_home() -> None:
    """One heartbeat speaks for many runs, each at its own home, in one entry per partition."""
    runs = [bytes(6) + number.to_bytes(2, "big") + bytes(8) for number in range(20)]
    routed = update(
        status="heartbeat",
        worker="w",
        runs=[{"run_id": keys.run_id_text(run), "attempt": 3} for run in runs],
    )
    assert set(routed.drafts) == set(range(P))
    assert routed.drafts[1].commands == [
        Update(run, b"", "heartbeat", 3, "w") for run in runs if run[7] % P == 1
    ]


def test_heartbeat_without_runs_says_nothing() -> None:
    """An idle worker has no runs to speak for."""
    assert update(status="heartbeat", worker="w", runs=[]) == Routed()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "done"}, "bad_status"),
        ({"status": "Running"}, "bad_status"),
        ({"status": 1}, "bad_update"),
        ({"status": None}, "bad_update"),
        ({"run_id": "x"}, "bad_run_id"),
        ({"run_id": "8" * 26}, "bad_run_id"),
        ({"run_id": "é" * 26}, "bad_run_id"),
        ({"run_id": None}, "bad_update"),
        ({"attempt": 0}, "bad_attempt"),
        ({"attempt": -1}, "bad_attempt"),
        ({"attempt": 2**31}, "bad_attempt"),
        ({"attempt": 2**70}, "bad_attempt"),
        ({"attempt": "1"}, "bad_update"),
        ({"attempt": 1.5}, "bad_update"),
        ({"worker": ""}, "bad_update"),
        ({"worker": "w" * 129}, "bad_update"),
        ({"step": "s" * 257}, "bad_update"),
        ({"until": 5}, "bad_update"),
        ({"status": "sleeping"}, "bad_until"),
        ({"status": "sleeping", "until": 0}, "bad_until"),
        ({"status": "sleeping", "until": 2**48}, "bad_until"),
        ({"error": {"name": "E"}}, "bad_update"),
        ({"status": "failed", "error": {"name": "E" * 257}}, "bad_update"),
        ({"status": "failed", "error": {"name": "E", "message": "é" * 2_049}}, "bad_update"),
        ({"status": "failed", "error": {"message": "no name"}}, "bad_update"),
        ({"runs": [{"run_id": RUN_ID, "attempt": 1}]}, "bad_update"),
        ({"status": "heartbeat"}, "bad_update"),
    ],
)
def test_bad_update_is_refused(fields: dict[str, Any], expected: str) -> None:
    """A change of one field makes a good claim bad, and the reason says which."""
    good = {"run_id": RUN_ID, "attempt": 1, "status": "running", "worker": "w"}
    assert update(**good).rejections == ()
    assert refused(**(good | fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "completed"}, "no_run"),
        ({"status": "completed", "function_id": "f"}, "no_run"),
        ({"status": "completed", "event_id": "e"}, "no_run"),
        ({"status": "completed", "event_id": "", "function_id": "f"}, "no_run"),
        ({"status": "completed", "event_id": "e" * 257, "function_id": "f"}, "bad_update"),
        ({"status": "completed", "event_id": "e", "function_id": "f" * 201}, "bad_update"),
        ({"status": "completed", "run_id": RUN_ID}, "bad_attempt"),
        ({"status": "heartbeat", "runs": []}, "bad_update"),
        ({"status": "heartbeat", "worker": "w", "runs": [{"run_id": RUN_ID}]}, "bad_update"),
        (
            {"status": "heartbeat", "worker": "w", "runs": [{"run_id": "x", "attempt": 1}]},
            "bad_run_id",
        ),
        (
            {"status": "heartbeat", "worker": "w", "runs": [{"run_id": RUN_ID, "attempt": 0}]},
            "bad_attempt",
        ),
        (
            {
                "status": "heartbeat",
                "worker": "w",
                "runs": [{"run_id": RUN_ID, "attempt": 1}] * (limits.HEARTBEAT_RUNS + 1),
            },
            "bad_update",
        ),
    ],
)
def test_update_without_a_run_is_refused(fields: dict[str, Any], expected: str) -> None:
    """An update must say which run it is about, and which attempt."""
    assert refused(**fields) == expected


@pytest.mark.parametrize("value", [None, b"", b"x", b"[]", b"null", b"{" * 2_000, b'{"a":' * 2_000])
def test_update_that_is_none_is_refused(value: bytes | None) -> None:
    """Anything else than an update has its reason."""
    [rejection] = route_update(record(value), P).rejections
    assert rejection.kind == "bad_update"


def test_oversized_update_is_refused() -> None:
    """An update isn't read beyond the limit."""
    [rejection] = route_update(record(b" " * 101), P, limit=100).rejections
    assert "101 bytes" in rejection.message
