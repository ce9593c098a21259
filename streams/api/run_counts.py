"""How many runs there are, counted in indexes alone, and no further than somebody waits for."""

from typing import Final

from pydantic import Field
from sqlalchemy import Connection, func, literal, select, union_all

from streams.api.fields import Answer
from streams.database.schema import RUNS
from topology.statuses import Status

MOST_COUNTED: Final = 100_000


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


def count_begun(connection: Connection, cancellation_id: str) -> tuple[int, int]:
    """How many runs a cancellation has cancelled, and how many of them had begun."""
    mine = select(func.count()).where(RUNS.c.cancellation_id == cancellation_id)
    # Two ranges of an index, whose entries aren't read: half the time of `count(started_at)`.
    waiting = mine.where(RUNS.c.started_at.is_(None)).scalar_subquery()
    started = mine.where(RUNS.c.started_at >= 0).scalar_subquery()
    idle, begun = connection.execute(select(waiting, started)).one()
    return idle + begun, begun
