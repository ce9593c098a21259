"""How many runs there are, counted in indexes alone."""

from sqlalchemy import Connection, func, select

from streams.database.schema import RUNS


def count_begun(connection: Connection, cancellation_id: str) -> tuple[int, int]:
    """How many runs a cancellation has cancelled, and how many of them had begun."""
    query = select(func.count(), func.count(RUNS.c.started_at))
    mine = RUNS.c.cancellation_id == cancellation_id
    cancelled, begun = connection.execute(query.where(mine)).one()
    return cancelled, begun
