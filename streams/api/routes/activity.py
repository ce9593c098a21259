"""`/v1/activity`: how many runs were scheduled, started and ended when; how long cancels took."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import and_, func, or_, select, text

from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import Answer, Body, DurationMs, Instant, Slug, Time, time_text
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import FieldError, invalid
from streams.clock import now_ms
from streams.database.activity import (
    CANCELS,
    EVERY_FUNCTION,
    INCOMPLETE,
    LATENCIES,
    LATENCIES_MS,
    OTHER_CANCELS,
    SCHEDULED,
    STARTED,
)
from streams.database.schema import ACTIVITY
from topology.limits import DAY_MS, HOUR_MS, MINUTE_MS

PATH: Final = "/v1/activity"
MOST: Final = 1_500
_OTHER: Final = "other"

router = APIRouter(tags=["activity"], route_class=GuardedRoute)


class Latency(Answer):
    """How long the cancels by events took, from the event's received time to the commit.

    Both are the upper bound of a bucket; null is more than the highest, 300,000 ms.
    """

    count: int
    p50_ms: int | None
    p99_ms: int | None


class Point(Answer):
    """What happened from a time on, for a step. A run counts once as each of these."""

    at: Time
    scheduled: int
    started: int = Field(description="For the first time.")
    completed: int
    failed: int
    skipped: int
    expired: int
    cancelled: dict[str, int] = Field(description="By the type of the cause.")
    cancel_latency: Latency | None = Field(description="Of cancels by events; null: there is none.")
    complete: bool = Field(
        description="False: some may be missing, since the read model was down for long, or didn't "
        "count yet."
    )


class Activity(Answer):
    """The points that have something, in order; the others are all zero."""

    function_id: str | None
    step_ms: int
    points: list[Point]


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


@router.get(PATH, **operation("getActivity", Role.VIEWER, 422))
async def get(
    request: Request, service: CurrentService, asked: Annotated[ActivityQuery, Query()]
) -> Envelope[Activity]:
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


def _read(service: Service, asked: ActivityQuery, first: int, end: int) -> Envelope[Activity]:
    at = (ACTIVITY.c.minute - ACTIVITY.c.minute % asked.step).label("step_at")
    function = EVERY_FUNCTION if asked.function_id is None else asked.function_id
    last = end - 1 - (end - 1) % asked.step + asked.step
    is_mark = and_(ACTIVITY.c.function_id == EVERY_FUNCTION, ACTIVITY.c.kind == INCOMPLETE)
    query = (
        select(at, ACTIVITY.c.kind, func.sum(ACTIVITY.c.count))
        .where(or_(ACTIVITY.c.function_id == function, is_mark))
        .where(ACTIVITY.c.minute >= first, ACTIVITY.c.minute < last)
        .group_by(text("step_at"), ACTIVITY.c.kind)
    )
    with service.engine.connect() as connection:
        rows = [(when, kind, int(number)) for when, kind, number in connection.execute(query)]
    found = Activity(function_id=asked.function_id, step_ms=asked.step, points=_points(rows))
    return envelope(found)


def _points(rows: Iterable[tuple[int, str, int]]) -> list[Point]:
    """Points from counts by time (ms) and kind."""
    counts: dict[int, Counter[str]] = {}
    for at, kind, number in rows:
        counts.setdefault(at, Counter())[kind] += number
    return [_point(at, found) for at, found in sorted(counts.items())]


def _point(at: int, counts: Mapping[str, int]) -> Point:
    causes = CANCELS | {_OTHER: OTHER_CANCELS}
    return Point(
        at=time_text(at),
        scheduled=counts[SCHEDULED],
        started=counts[STARTED],
        completed=counts["completed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        expired=counts["expired"],
        cancelled={cause: counts[kind] for cause, kind in causes.items() if counts[kind]},
        cancel_latency=_latency([counts[kind] for kind in LATENCIES]),
        complete=not counts[INCOMPLETE],
    )


def _latency(numbers: list[int]) -> Latency | None:
    """What the numbers of cancels in each bucket say."""
    count = sum(numbers)
    if not count:
        return None
    return Latency(count=count, p50_ms=_bound(numbers, 50), p99_ms=_bound(numbers, 99))


def _bound(numbers: list[int], percent: int) -> int | None:
    """The upper bound (ms) of the bucket in which so many percent of all lie, or are below."""
    rest = sum(numbers) * percent
    for bound, number in zip(LATENCIES_MS, numbers, strict=False):
        rest -= number * 100
        if rest <= 0:
            return bound
    return None
