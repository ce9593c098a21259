"""The activity that records of `runs` say, counted once more: apart from the code under test."""

import json
from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Engine, select

from streams.database.schema import ACTIVITY

MINUTE_MS = 60_000
# By function, minute and kind.
Counts = Counter[tuple[str, int, str]]
ENDS = {"completed", "failed", "skipped", "expired"}
CAUSES = {"event", "api", "cancellation", "start_timeout", "finish_timeout", "pause"}
BOUNDS = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000]


def recount(values: Iterable[tuple[bytes | None, int]]) -> Counts:
    """The activity of records, given by their values and times (ms)."""
    counts: Counts = Counter()
    for value, written in values:
        if value is not None:
            record = json.loads(value)
            minute = record["at"] // MINUTE_MS * MINUTE_MS
            kind = _kind(record, written)
            if kind is not None:
                counts["", minute, kind] += 1
                counts[record["function_id"], minute, kind] += 1
    return counts


def _kind(record: dict[str, object], written: int) -> str | None:
    status, before = record["status"], record.get("status_before")
    if before is None and record["seq"] == 1:
        return "scheduled"
    if before is None or status == before:
        return None
    if status == "running" and record["attempt"] == 1:
        return "started"
    if status == "cancelled":
        return _of_cancel(record.get("cause") or {}, written)  # type: ignore[arg-type]
    return str(status) if status in ENDS else None


def _of_cancel(cause: dict[str, object], written: int) -> str:
    kind, event = cause.get("type"), cause.get("event")
    if kind == "event" and isinstance(event, dict) and event.get("received") is not None:
        took = written - event["received"]
        return f"cancelled_event_{next((b for b in BOUNDS if took <= b), 'more')}"
    return f"cancelled_{kind if kind in CAUSES else 'other'}"


def counted(engine: Engine) -> Counts:
    """What the table holds, but for marks of incomplete minutes."""
    with engine.connect() as connection:
        rows = connection.execute(select(ACTIVITY).where(ACTIVITY.c.kind != "incomplete")).all()
    return Counter({(row.function_id, row.minute, row.kind): row.count for row in rows})


def incomplete(engine: Engine) -> list[int]:
    """The minutes of which changes may be missing."""
    with engine.connect() as connection:
        rows = connection.execute(select(ACTIVITY).where(ACTIVITY.c.kind == "incomplete")).all()
    assert {row.function_id for row in rows} <= {""}
    return sorted(row.minute for row in rows)
