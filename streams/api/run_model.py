"""A run as the API shows it, and what its id says about the time it was received.

Lists of runs are what is asked for most. Their answers are written straight from the rows, the
event as the text that it is; `Run` says what they look like.
"""

from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw
from pydantic import Field
from sqlalchemy import ColumnElement

from streams.api.fields import Answer, Json, Row, Time, optional_time, time_text
from streams.database.schema import RUNS
from topology import keys

_parts: Final = msgspec.json.Decoder(dict[str, Raw])
_NULL: Final = Raw(b"null")


class Run(Answer):
    """One execution of a function for one event."""

    run_id: str
    run_started_at: Time = Field(description="When its event was received.")
    ended_at: Time | None
    status: str = Field(
        description="Scheduled, Running, Sleeping, Completed, Failed, Cancelled, Skipped, Expired."
    )
    function_id: str = Field(description="The function's slug.")
    app_id: str
    function_version: int
    event_id: str
    event: Json = Field(description="The event that triggered it.")
    output: None = None
    scheduled_at: Time
    started_at: Time | None = Field(description="When a worker's first claim was accepted.")
    stopped_at: Time | None = Field(description="When the worker of a cancelled run had left it.")
    sleep_until: Time | None
    attempt: int
    worker: str | None
    last_step: str | None
    error: Json | None
    cause: Json | None = Field(
        description="Why it was cancelled. `event.received`: when its cancel event was received."
    )
    cancellation_id: str | None
    replay_of: str | None
    replay_id: str | None


def run_fields(row: Row) -> dict[str, Any]:
    """A run from its row, as `Run` describes it."""
    return {
        "run_id": row["run_id"],
        "run_started_at": time_text(row["scheduled_at"]),
        "ended_at": optional_time(row["ended_at"]),
        "status": row["status"].capitalize(),
        "function_id": row["function_id"],
        "app_id": row["app_id"],
        "function_version": row["function_version"],
        "event_id": row["event_id"],
        "event": orjson.Fragment(row["event"]),
        "output": None,
        "scheduled_at": time_text(row["scheduled_at"]),
        "started_at": optional_time(row["started_at"]),
        "stopped_at": optional_time(row["stopped_at"]),
        "sleep_until": optional_time(row["sleep_until"]),
        "attempt": row["attempt"],
        "worker": row["worker"],
        "last_step": row["last_step"],
        "error": _json(row["error"]),
        "cause": _cause(row["cause"]),
        "cancellation_id": row["cancellation_id"],
        "replay_of": row["replay_of"],
        "replay_id": row["replay_id"],
    }


def received_between(after: int | None, before: int | None) -> list[ColumnElement[bool]]:
    """That a run was received strictly between two times: its id begins with the time."""
    bounds = []
    if after is not None:
        bounds.append(RUNS.c.run_id >= keys.lowest_id(after + 1))
    if before is not None:
        bounds.append(RUNS.c.run_id < keys.lowest_id(before))
    return bounds


def _cause(text: str | None) -> Json:
    """Why a run was cancelled: as in its record, but for the cancel event's received time (ms).

    That isn't known if a joiner of an older release has cancelled the run.
    """
    cause = {} if text is None else _parts.decode(text)
    event = cause.get("event", _NULL)
    parts = {} if event == _NULL else _parts.decode(event)
    received = parts.get("received", _NULL)
    if received == _NULL:
        return _json(text)
    shown = _as_they_are(parts) | {"received": time_text(int(bytes(received)))}
    return _as_they_are(cause) | {"event": shown}


def _as_they_are(parts: dict[str, Raw]) -> dict[str, Json]:
    return {name: orjson.Fragment(bytes(part)) for name, part in parts.items()}


def _json(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)
