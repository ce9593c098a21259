"""The body of a call: what an app needs to know to go on with a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from streams.inngest.registration import CANCELLED
from streams.sdk.cancelled_run import Event
from topology.records import Json


class Ended(Struct, frozen=True):
    """A step that has ended: when (ms), and what the function gets for it."""

    at: int
    memo: Json


class Asked(Struct, frozen=True):
    """What a call asks about a run.

    Attributes:
        attempt: How often this call has failed.
        most: How often it is made at most.
        planned_only: Whether steps are only to be named; each is then called by itself.
        version: How the app wants to be asked about parallel steps; -1 if it hasn't said yet.
    """

    run_id: str
    event: Mapping[str, Any]
    ended: Mapping[str, Ended]
    attempt: int
    most: int
    planned_only: bool
    version: int


def body_of(asked: Asked) -> dict[str, Json]:
    """The body; what is optional is left out, since SDKs take null for a value."""
    order = in_order(asked.ended)
    return {
        "event": dict(asked.event),
        "events": [dict(asked.event)],
        "steps": {id_: asked.ended[id_].memo for id_ in order},
        "use_api": False,
        "version": asked.version,
        "ctx": {
            "run_id": asked.run_id,
            "attempt": asked.attempt,
            "max_attempts": asked.most,
            "disable_immediate_execution": asked.planned_only,
            "use_api": False,
            "stack": {"stack": list(order), "current": len(order)},
        },
    }


def in_order(ended: Mapping[str, Ended]) -> Sequence[str]:
    """The ids of ended steps in the order in which they ended, the same in every attempt."""
    return sorted(ended, key=lambda id_: (ended[id_].at, id_))


def event_for(event: Event, cancelled_event_name: str) -> dict[str, Json]:
    """An event as apps know it; cancelled events have another name there."""
    name = CANCELLED if event.name == cancelled_event_name else event.name
    data = event.data
    if name == CANCELLED and "event" in data:
        data = {"events": [data["event"]], **data}  # routers leave it out of large ones
    found = {"name": name, "data": data, "id": event.id, "ts": event.ts}
    return found if event.user is None else {**found, "user": event.user}
