"""Records of `runs`, `requests` and `request-progress`, as the contract has them."""

import json
from typing import Any

from streams.clock import now_ms
from topology import keys

# An hour ago, so that nothing is over for long.
RECEIVED = now_ms() - 3_600_000
EVENT = {"name": "report/requested", "data": {"pages": 3}, "id": "e1", "ts": RECEIVED}
CAUSE = {"type": "event", "event": {"id": "c1"}, "cancellation_id": None, "reason": None}


def run_id(number: int, received: int = RECEIVED) -> str:
    """The id of a run; those of greater numbers sort behind."""
    home, event = number.to_bytes(16, "big"), number.to_bytes(16, "big")
    return keys.run_id_text(keys.run_id(received + number, home, event))


def request_id(number: int) -> str:
    """The id of a request."""
    return keys.run_id_text(number.to_bytes(16, "big"))


def run(number: int, **fields: Any) -> dict[str, Any]:
    """A record of `runs`: newly registered, but for these fields."""
    return {
        "v": 1,
        "run_id": run_id(number),
        "function_id": "reports-generate",
        "app_id": "reports",
        "function_version": 7,
        "status": "scheduled",
        "seq": 1,
        "attempt": 1,
        "dispatch": True,
        "at": RECEIVED,
        "scheduled_at": RECEIVED,
        "source": {"topic": "events", "partition": 2, "offset": 17},
        "event": EVENT,
    } | fields


def cancelled(number: int, **fields: Any) -> dict[str, Any]:
    """A record of `runs`: cancelled by an event, but for these fields."""
    ended = {"status": "cancelled", "status_before": "running", "seq": 3, "ended_at": RECEIVED + 9}
    more = {"started_at": RECEIVED + 5, "worker": "w1", "last_step": "render", "cause": CAUSE}
    return run(number, dispatch=False, at=RECEIVED + 9, **{**ended, **more, **fields})


def request(number: int, kind: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A record of `requests`."""
    return {
        "v": 1,
        "request_id": request_id(number),
        "type": kind,
        "requested_by": "ann",
        "reason": None,
        "at": RECEIVED,
        "body": body,
    } | fields


def progress(number: int, partition: int, **fields: Any) -> dict[str, Any]:
    """A record of `request-progress`: done with one run cancelled, but for these fields."""
    return {
        "v": 1,
        "request_id": request_id(number),
        "partition": partition,
        "type": "cancel_runs",
        "state": "done",
        "outcome": None,
        "scanned": 3,
        "matched": 1,
        "cancelled": 1,
        "replayed": 0,
        "already_ended": 2,
        "failed": 0,
        "sample": [],
        "updated_at": RECEIVED,
        "error": None,
    } | fields


def failure(number: int, partition: int, of: int, text: str = "no such key") -> dict[str, Any]:
    """A record of `request-progress` about a run without an answer."""
    named = {"v": 1, "request_id": request_id(number), "partition": partition}
    return named | {"run_id": run_id(of), "failed": text}


def encoded(record: dict[str, Any]) -> bytes:
    """The value of a record."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
