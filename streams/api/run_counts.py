"""How many runs there are, counted in indexes alone, and no further than somebody waits for."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from pydantic import Field
from sqlalchemy import (
    Connection,
    Select,
    String,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from streams.api.fields import Answer
from streams.database.schema import RUNS
from topology.statuses import UNFINISHED, Status

MOST_COUNTED: Final = 100_000
# Of one of many functions, which are counted together.
MOST_UNFINISHED: Final = 10_000
_UNFINISHED: Final = tuple(sorted(status.value for status in UNFINISHED))


class Counted(Answer):
    """A number of runs, counted up to a bound."""

    count: int
    capped: bool = Field(description="Whether there are more than `count`, which is the bound.")


def counted(number: int, most: int) -> Counted:
    """A number that was counted up to one more than `most`."""
    return Counted(count=min(number, most), capped=number > most)


def count_by_status(
    connection: Connection, function_id: str | None, most: int = MOST_COUNTED
) -> dict[Status, Counted]:
    """The number of runs of each status, of one function or of all; each counted up to `most`."""
    runs = select(RUNS.c.run_id).limit(most + 1)
    if function_id is not None:
        runs = runs.where(RUNS.c.function_id == function_id)
    each = []
    for status in Status:
        some = runs.where(RUNS.c.status == status.value).subquery()
        number = func.count().label("number")
        each.append(select(literal(status.value).label("status"), number).select_from(some))
    found = {row.status: row.number for row in connection.execute(union_all(*each))}
    return {status: counted(found[status.value], most) for status in Status}


def count_unfinished(
    connection: Connection, function_ids: Sequence[str], most: int = MOST_UNFINISHED
) -> dict[str, Counted]:
    """The number of unfinished runs of each of these functions, counted up to `most`."""
    if not function_ids:
        return {}
    given = {_slug(place): function_id for place, function_id in enumerate(function_ids)}
    rows = connection.execute(_unfinished(len(function_ids), most), given)
    return {row.slug: counted(row.number, most) for row in rows}


@cache
def _unfinished(functions: int, most: int) -> Select[tuple[str, int]]:
    """The query about so many functions; to make it takes longer than to answer it."""
    places = range(functions)
    slugs = (select(bindparam(_slug(place), type_=String).label("slug")) for place in places)
    asked = union_all(*slugs).subquery()
    of_it = (RUNS.c.function_id == asked.c.slug, RUNS.c.status.in_(_UNFINISHED))
    some = select(RUNS.c.run_id).where(*of_it).limit(most + 1).correlate(asked).subquery()
    number = select(func.count()).select_from(some).scalar_subquery()
    return select(asked.c.slug, number.label("number"))


def _slug(place: int) -> str:
    return f"slug_{place}"


def count_begun(connection: Connection, cancellation_id: str) -> tuple[int, int]:
    """How many runs a cancellation has cancelled, and how many of them had begun."""
    mine = select(func.count()).where(RUNS.c.cancellation_id == cancellation_id)
    # Two ranges of an index, whose entries aren't read: half the time of `count(started_at)`.
    waiting = mine.where(RUNS.c.started_at.is_(None)).scalar_subquery()
    started = mine.where(RUNS.c.started_at >= 0).scalar_subquery()
    idle, begun = connection.execute(select(waiting, started)).one()
    return idle + begun, begun
