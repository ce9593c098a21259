"""Counts of runs: right, and from indexes that hold all that is asked."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert

from streams.api import run_counts
from streams.database.engine import open_database, writing
from streams.database.schema import RUNS
from streams.settings import load
from tests.support.api import run_row
from topology.statuses import Status

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
AT = 1_700_000_000_000


@pytest.fixture
def engine(clean_environment: None, tmp_path: Path) -> Iterator[Engine]:
    """An empty database in a file."""
    found = open_database(load(state_dir=tmp_path))
    yield found
    found.dispose()


def plan(engine: Engine, count: Callable[[Connection], object]) -> list[str]:
    """How SQLite looks for the runs that something counts, each look."""
    asked: list[tuple[str, Any]] = []
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


@pytest.mark.parametrize("status", Status)
def test_a_status_is_counted_up_to_a_bound(engine: Engine, status: Status) -> None:
    """Beyond it is said that there are more."""
    with writing(engine) as connection:
        connection.execute(insert(RUNS), [run_row(AT, n, status=status.value) for n in range(5)])
    with engine.connect() as connection:
        found = {most: run_counts.count_by_status(connection, None, most) for most in (4, 5)}
    assert found[4][status] == run_counts.Counted(count=4, capped=True)
    assert found[5][status] == run_counts.Counted(count=5, capped=False)
    assert sum(one.count for one in found[4].values()) == 4


@pytest.mark.parametrize(
    ("function_id", "index"),
    [
        (None, "runs_by_status (status=?)"),
        ("a-b", "runs_by_function_status (function_id=? AND status=?)"),
    ],
)
def test_statuses_are_counted_in_their_index(
    engine: Engine, function_id: str | None, index: str
) -> None:
    """However many runs there are."""
    looks = plan(engine, lambda connection: run_counts.count_by_status(connection, function_id))
    assert looks == [f"SEARCH runs USING COVERING INDEX {index}"] * len(Status)


def test_begun_runs_are_counted_in_their_index(engine: Engine) -> None:
    """A cancellation may have cancelled a million."""
    looks = plan(engine, lambda connection: run_counts.count_begun(connection, ID))
    index = "SEARCH runs USING COVERING INDEX runs_begun (cancellation_id=? AND started_at"
    assert looks == [f"{index}=?)", f"{index}>?)"]
