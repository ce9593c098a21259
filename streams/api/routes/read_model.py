"""`/v1/read-model`: how old the copy is that runs, requests and their counts are read from."""

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import func, select

from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.fields import Answer, Time, optional_time
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.clock import now_ms
from streams.database.schema import POSITIONS
from topology import limits

router = APIRouter(prefix="/v1/read-model", tags=["read model"], route_class=GuardedRoute)


class ReadModelAge(Answer):
    """How old the copy is; while all is well it is a few seconds old, also if nothing happens."""

    as_of: Time | None = Field(
        description="Up to then runs, requests and counts are as Kafka has them; null: nothing was "
        "read yet."
    )
    behind_s: float | None = Field(description="How long ago that was, in seconds.")


@router.get("", **operation("getReadModel", Role.VIEWER, 422))
def get(service: CurrentService) -> Envelope[ReadModelAge]:
    """How old the copy is that runs, requests and counts are read from."""
    with service.engine.connect() as connection:
        as_of = connection.scalar(select(func.min(POSITIONS.c.as_of)))
    behind_ms = None if as_of is None else max(0, now_ms() - as_of)
    behind_s = None if behind_ms is None else behind_ms / limits.SECOND_MS
    return envelope(ReadModelAge(as_of=optional_time(as_of), behind_s=behind_s))
