"""`/v1/events`: produce events, as a service without a Kafka client does."""

from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import APIRouter
from pydantic import Field

from streams.api.calls import Call, CurrentCall
from streams.api.fields import Answer, Json
from streams.api.guard import GuardedRoute
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import FieldError, ProblemError, invalid
from streams.api.producer import Outgoing
from streams.api.roles import Role
from streams.api.service import CurrentService
from streams.router.inputs import read_plain
from streams.router.record import Record, Rejection
from topology import limits, topics

PATH: Final = "/v1/events"
router = APIRouter(tags=["events"], route_class=GuardedRoute)


class SentEvents(Answer):
    """The ids of the events, in their order; one without an id got one."""

    ids: list[str]
    topic: str = Field(description="Where they lie.")


@router.post(PATH, **operation("sendEvents", Role.OPERATOR, 409, 422, body=True, repeatable=True))
def send(
    body: dict[str, Json] | list[dict[str, Json]], call: CurrentCall, service: CurrentService
) -> Envelope[SentEvents]:
    """Produce one event or a list of them; answered when Kafka has acknowledged all of them.

    They lie in one partition, in the order of the list.
    """
    topic = service.settings.topic(topics.EVENTS)
    call.about(topic)
    if topic not in {spec.topic for spec in service.settings.input_specs}:
        detail = f"{topic} is none of the topics that routers read (COUNTERMAND_INPUTS)"
        raise ProblemError(HTTPStatus.CONFLICT, "no_events_input", detail)
    found = body if isinstance(body, list) else [body]
    values = read_events(found, call)
    records = [Outgoing(topic, call.id.encode(), value) for _, value in values]
    service.writer.announce(call)
    service.writer.produce(records)
    return envelope(SentEvents(ids=[id_ for id_, _ in values], topic=topic))


def read_events(events: list[dict[str, Any]], call: Call) -> list[tuple[str, bytes]]:
    """The id and the record of each event.

    Raises:
        ProblemError: 422 with every wrong event.
    """
    if not 0 < len(events) <= limits.EVENTS_PER_CALL:
        detail = f"send 1 to {limits.EVENTS_PER_CALL} events per call"
        raise invalid(PATH, [FieldError("count", detail, pointer="")])
    errors, values = [], []
    for index, event in enumerate(events):
        value = orjson.dumps(_with_id(event, f"{call.id}-{index}"))
        found = read_plain(Record(PATH, 0, index, call.at, value=value))
        if isinstance(found, Rejection):
            detail = f"event {index}: {found.message}"
            errors.append(FieldError(found.kind, detail, pointer=f"/{index}"))
        else:
            values.append((found.id, value))
    if errors:
        raise invalid(PATH, errors)
    return values


def _with_id(event: dict[str, Any], id_: str) -> dict[str, Any]:
    """The event with an id: the same again if the call is repeated, so that it is one event."""
    return event if event.get("id") is not None else event | {"id": id_}
