"""`/v1/events`: produce events, as a service without a Kafka client does."""

from http import HTTPStatus
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Body
from pydantic import Field

from streams.api.call.call import Call, CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.fields import Answer, Json
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import FieldError, ProblemError, invalid
from streams.api.producer import Outgoing
from streams.router.inputs import read_plain
from streams.router.record import Record, Rejection
from topology import limits, topics

PATH: Final = "/v1/events"
router = APIRouter(tags=["events"], route_class=GuardedRoute)


class SentEvents(Answer):
    """The ids of the events, in their order; one without an id got one."""

    ids: list[str]
    topic: str = Field(description="Where they lie.")


_EVENT: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": limits.EVENT_NAME_CHARS},
        "data": {"type": "object"},
        "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": limits.EVENT_ID_CHARS,
            "description": "One id is one event for 24 h; without one it gets one.",
        },
        "ts": {"type": "integer", "description": "ms; in the future: not dispatched before."},
        "user": {"type": "object"},
    },
    "example": {"name": "report/requested", "data": {"reportId": "r1"}, "id": "report-1"},
}
_MANY: Final = {
    "type": "array",
    "items": _EVENT,
    "minItems": 1,
    "maxItems": limits.EVENTS_PER_CALL,
}
_SCHEMA: Final = {"oneOf": [_EVENT, _MANY]}
_SEND: Final = operation("sendEvents", Role.SENDER, 409, 422, body=True, repeatable=True)
_SEND["openapi_extra"]["requestBody"] = {"content": {"application/json": {"schema": _SCHEMA}}}


@router.post(PATH, **_SEND)
def send(
    body: Annotated[Json, Body()], call: CurrentCall, service: CurrentService
) -> Envelope[SentEvents]:
    """Produce one event or a list of them; answered when Kafka has acknowledged all of them.

    They lie in one partition, in the order of the list.
    """
    topic = service.settings.topic(topics.EVENTS)
    call.about(topic)
    if topic not in {spec.topic for spec in service.settings.input_specs}:
        detail = f"{topic} is none of the topics that routers read (COUNTERMAND_INPUTS)"
        raise ProblemError(HTTPStatus.CONFLICT, "no_events_input", detail)
    values = read_events(body if isinstance(body, list) else [body], call)
    records = [Outgoing(topic, call.id.encode(), value) for _, value in values]
    service.writer.announce(call)
    service.writer.produce(records)
    return envelope(SentEvents(ids=[id_ for id_, _ in values], topic=topic))


def read_events(events: list[Json], call: Call) -> list[tuple[str, bytes]]:
    """The id and the record of each event.

    Raises:
        ProblemError: 422 with every wrong event.
    """
    if not 0 < len(events) <= limits.EVENTS_PER_CALL:
        detail = f"send 1 to {limits.EVENTS_PER_CALL} events per call"
        raise invalid(PATH, [FieldError("count", detail, pointer="")])
    errors, values = [], []
    for index, event in enumerate(events):
        found = read_event(event, f"{call.id}-{index}", call.at)
        if isinstance(found, Rejection):
            detail = f"event {index}: {found.message}"
            errors.append(FieldError(found.kind, detail, pointer=f"/{index}"))
        else:
            values.append(found)
    if errors:
        raise invalid(PATH, errors)
    return values


def read_event(event: Json, new_id: str, now_ms: int) -> tuple[str, bytes] | Rejection:
    """The id and the record of one event, as routers will read it."""
    if isinstance(event, dict) and event.get("id") is None:
        # The same again if the call is repeated, so that it is one event.
        event = event | {"id": new_id}
    try:
        value = orjson.dumps(event)
    except TypeError as error:  # an integer beyond 64 bits
        return Rejection("integer_too_large", f"{error}: send it as text")
    found = read_plain(Record(PATH, 0, 0, now_ms, value=value))
    return found if isinstance(found, Rejection) else (found.id, value)
