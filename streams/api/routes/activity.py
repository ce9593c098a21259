"""`/v1/activity`: how many runs were scheduled, started and ended when; how long cancels took."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from streams.api.activity_model import Activity, read_points
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import Body, DurationMs, Instant, Slug
from streams.api.operations import operation
from streams.api.paging import Envelope, written
from streams.api.problems import FieldError, invalid
from streams.clock import now_ms
from topology.limits import DAY_MS, HOUR_MS, MINUTE_MS

PATH: Final = "/v1/activity"
MOST: Final = 1_500

router = APIRouter(tags=["activity"], route_class=GuardedRoute)


class ActivityQuery(Body):
    """What to count; the range is widened to whole steps."""

    function_id: Slug | None = Field(
        default=None, description="The function's slug; without it, all together."
    )
    after: Instant | None = Field(default=None, description="From then on; an hour before the end.")
    before: Instant | None = Field(default=None, description="Until then; now.")
    step: DurationMs = Field(
        default=MINUTE_MS, description="How long a point is: whole minutes, a day at most."
    )


@router.get(PATH, response_model=Envelope[Activity], **operation("getActivity", Role.VIEWER, 422))
async def get(
    request: Request, service: CurrentService, asked: Annotated[ActivityQuery, Query()]
) -> Response:
    """What runs did, per minute or coarser; 1,500 points at most."""
    end = now_ms() if asked.before is None else asked.before
    begin = end - HOUR_MS if asked.after is None else asked.after
    if asked.step % MINUTE_MS or asked.step > DAY_MS:
        detail = "step must be whole minutes, and a day at most"
        raise invalid(PATH, [FieldError("step", detail, parameter="step")])
    if not begin < end <= begin + MOST * asked.step:
        detail = f"after must be earlier than before, by {MOST:,} steps at most: use a larger step"
        raise invalid(PATH, [FieldError("range", detail, parameter="after")])
    first = begin - begin % asked.step
    return await service.searches.take(request, lambda: _read(service, asked, first, end))


def _read(service: Service, asked: ActivityQuery, first: int, end: int) -> Response:
    last = end - 1 - (end - 1) % asked.step + asked.step
    with service.engine.connect() as connection:
        points = read_points(connection, asked.function_id, first, last, asked.step)
    found = Activity(function_id=asked.function_id, step_ms=asked.step, points=points)
    return written(found.model_dump())
