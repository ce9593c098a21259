"""Counts of runs: right, and from indexes that hold all that is asked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from streams.api import run_counts
from streams.database.engine import open_database
from streams.settings import load

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"


@pytest.fixture
def engine(clean_environment: None, tmp_path: Path) -> Iterator[Engine]:
    """An empty database in a file."""
    found = open_database(load(state_dir=tmp_path))
    yield found
    found.dispose()


def plan(engine: Engine, count: Callable[[Connection], object]) -> list[str]:
    """How SQLite looks for the runs that something counts, each look."""
    asked: list[tuple[str, object]] = []
    with engine.connect() as connection:
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _connection, _cursor, text, values, *_: asked.append((text, values)),
        )
        count(connection)
        text, values = asked[-1]
        explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        return [row[3] for row in explained if "runs" in row[3]]


def test_begun_runs_are_counted_in_their_index(engine: Engine) -> None:
    """A cancellation may have cancelled a million."""
    (look,) = plan(engine, lambda connection: run_counts.count_begun(connection, ID))
    assert "COVERING INDEX runs_begun (cancellation_id=?)" in look
