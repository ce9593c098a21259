"""What runs did when: the points of a plot, from what the read model counted."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import Field
from sqlalchemy import BigInteger, Connection, Select, Text, cast, func, literal, or_, select

from streams.api.fields import Answer, Time, time_text
from streams.database.activity import (
    BY_EVENT,
    CANCELS,
    EVERY_FUNCTION,
    INCOMPLETE,
    LATENCIES,
    LATENCIES_MS,
    OTHER_CANCELS,
    SCHEDULED,
    STARTED,
    TRIMMED,
)
from streams.database.engine import POSTGRESQL
from streams.database.schema import ACTIVITY
from topology.limits import MINUTE_MS

_CAUSES: Final = CANCELS | {"other": OTHER_CANCELS}
# Marks of minutes in which something may be missing: of all functions together, and of one.
_MARKS: Final = (INCOMPLETE,)
_MARKS_OF_ONE: Final = (INCOMPLETE, TRIMMED)


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
        "count yet, or there was too much to keep it by function."
    )


class Activity(Answer):
    """The points that have something, in order; the others are all zero."""

    function_id: str | None
    step_ms: int
    points: list[Point]


def read_points(
    connection: Connection, function_id: str | None, first: int, last: int, step: int
) -> list[Point]:
    """The points of a function, or of all together, from a time to before another one (ms).

    Both times are beginnings of a step, which is whole minutes, in ms.
    """
    minute = ACTIVITY.c.minute
    there = select(minute).where(minute >= first, minute < last).limit(1)
    oldest = connection.scalar(there.order_by(minute))
    newest = connection.scalar(there.order_by(minute.desc()))
    if oldest is None or newest is None:
        return []
    wanted = EVERY_FUNCTION if function_id is None else function_id
    marks = _MARKS if function_id is None else _MARKS_OF_ONE
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for at, counted in connection.execute(_counts(connection, wanted, marks, oldest, newest)):
        if counted is not None:
            counts[at - at % step].update(orjson.loads(counted))
    return [_point(at, found, marks) for at, found in sorted(counts.items()) if found]


def _counts(
    connection: Connection, wanted: str, marks: Sequence[str], oldest: int, newest: int
) -> Select[Any]:
    """Each minute with its counts of a function by kind, and its marks, as JSON.

    A minute has the rows of every function, so the wanted ones are looked up minute by minute. One
    JSON for all of a minute comes in a third of the time of a row for each kind.
    """
    begin = select(literal(oldest, BigInteger).label("minute")).cte("minutes", recursive=True)
    minutes = begin.union_all(select(begin.c.minute + MINUTE_MS).where(begin.c.minute < newest))
    is_postgresql = connection.dialect.name == POSTGRESQL
    as_json = func.json_object_agg if is_postgresql else func.json_group_object
    function, kind = ACTIVITY.c.function_id, ACTIVITY.c.kind
    of_minute = (
        select(cast(as_json(kind, ACTIVITY.c.count), Text))
        .where(ACTIVITY.c.minute == minutes.c.minute, function.in_([wanted, EVERY_FUNCTION]))
        .where(or_(function == wanted, kind.in_(marks)))
    )
    return select(minutes.c.minute, of_minute.scalar_subquery())


def _point(at: int, counts: Mapping[str, int], marks: Sequence[str]) -> Point:
    latencies = [counts[kind] for kind in LATENCIES]
    cancelled = Counter({cause: counts[kind] for cause, kind in _CAUSES.items()})
    cancelled[BY_EVENT] += sum(latencies)
    return Point(
        at=time_text(at),
        scheduled=counts[SCHEDULED],
        started=counts[STARTED],
        completed=counts["completed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        expired=counts["expired"],
        cancelled=+cancelled,
        cancel_latency=_latency(latencies),
        complete=not any(counts[mark] for mark in marks),
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
