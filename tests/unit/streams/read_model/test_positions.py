"""Where reading goes on, and when what was read is worth nothing; on both databases."""

from collections.abc import Mapping

import pytest
from sqlalchemy import Engine, Table, func, insert, select

from streams.database.engine import writing
from streams.database.schema import (
    AUDIT,
    FAILURES,
    POSITIONS,
    PROGRESS,
    REQUESTS,
    RUNS,
)
from streams.errors import DatabaseError
from streams.read_model.batch import Batch, Record
from streams.read_model.position import Move, Position
from streams.read_model.positions import Positions, TopicNow
from streams.read_model.writer import Writer
from streams.settings import Settings, load
from tests.support import records
from tests.support.records import encoded
from topology.topics import TopicPlace

RUNS_0, RUNS_1 = ("t.runs", 0), ("t.runs", 1)
REQUESTS_0, PROGRESS_0 = ("t.requests", 0), ("t.request-progress", 0)
ENDS = {RUNS_0: 100, RUNS_1: 100, REQUESTS_0: 100, PROGRESS_0: 100}
DAY_MS = 86_400_000
NOW = 20 * DAY_MS
FOUND = {
    "t.runs": TopicNow("r", DAY_MS),
    "t.requests": TopicNow("q"),
    "t.request-progress": TopicNow("p"),
}


@pytest.fixture
def positions(settings: Settings, engine: Engine) -> Positions:
    """The positions of an empty database."""
    return Positions(settings, engine)


@pytest.fixture
def filled(positions: Positions, engine: Engine) -> Positions:
    """A row of each kind, and every partition read up to 40 just now."""
    batch = Batch()
    request = records.request(1, "cancel_run", {"run_id": "r"})
    batch.add_run(Record(b"", encoded(records.run(1)), 1))
    batch.add_request(Record(b"r", encoded(request), 1))
    batch.add_progress(Record(b"x/0", encoded(records.progress(1, 0)), 1))
    batch.add_progress(Record(b"x/0/y", encoded(records.failure(1, 0, 1)), 1))
    start = positions.start(ENDS, FOUND, NOW)
    moves = {place: Move(one, Position(40, NOW)) for place, one in start.items()}
    ids = {name: topic.id for name, topic in FOUND.items()}
    assert Writer(engine).write(moves, batch.steps(), ids) == 0
    with writing(engine) as connection:
        audit = {"id": "1", "at": 0, "api_key": "k", "actor": "a", "action": "x", "target": "t"}
        connection.execute(insert(AUDIT), [audit | {"dry_run": False, "outcome": "done"}])
    return positions


def counts(engine: Engine, *tables: Table) -> list[int]:
    """How many rows tables have."""
    with engine.connect() as connection:
        return [connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def offsets(found: Mapping[TopicPlace, Position]) -> dict[TopicPlace, int]:
    """Where to go on, without times."""
    return {place: position.next_offset for place, position in found.items()}


def test_an_empty_database_begins_at_the_beginning(positions: Positions) -> None:
    """As of now: what is removed from now on is seen."""
    assert positions.start(ENDS, FOUND, NOW) == dict.fromkeys(ENDS, Position(0, NOW))


def test_reading_goes_on_where_the_rows_are(filled: Positions, engine: Engine) -> None:
    """For the partitions that are asked for; one that is new begins at its beginning."""
    new = ("t.requests", 5)
    found = filled.start({RUNS_1: 90, new: 7}, FOUND, NOW + 5)
    assert found == {RUNS_1: Position(40, NOW), new: Position(0, NOW + 5)}
    assert counts(engine, RUNS, REQUESTS, PROGRESS, FAILURES) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("topic", "left"),
    [
        ("t.runs", [0, 1, 1, 1]),
        ("t.requests", [1, 0, 1, 1]),
        ("t.request-progress", [1, 1, 0, 0]),
    ],
)
def test_a_topic_that_was_made_anew_is_read_anew(
    filled: Positions, engine: Engine, topic: str, left: list[int]
) -> None:
    """Its rows go, those of the others stay."""
    found = filled.start(ENDS, FOUND | {topic: TopicNow("new")}, NOW)
    assert offsets(found) == {place: 0 if place[0] == topic else 40 for place in ENDS}
    assert counts(engine, RUNS, REQUESTS, PROGRESS, FAILURES) == left


def test_a_log_that_ends_before_what_was_read_is_read_anew(
    filled: Positions, engine: Engine
) -> None:
    """It is another log, whatever its name and id."""
    found = filled.start(ENDS | {RUNS_1: 39}, FOUND, NOW)
    assert offsets(found) == {RUNS_0: 0, RUNS_1: 0, REQUESTS_0: 40, PROGRESS_0: 40}
    assert counts(engine, RUNS, REQUESTS) == [0, 1]


def test_runs_are_read_anew_when_removals_may_be_forgotten(
    filled: Positions, engine: Engine
) -> None:
    """Half of the time for which brokers remember is trusted; only `runs` has removals."""
    assert offsets(filled.start(ENDS, FOUND, NOW + DAY_MS // 2)) == dict.fromkeys(ENDS, 40)
    found = filled.start(ENDS, FOUND, NOW + DAY_MS // 2 + 1)
    assert offsets(found) == {RUNS_0: 0, RUNS_1: 0, REQUESTS_0: 40, PROGRESS_0: 40}
    assert counts(engine, RUNS, REQUESTS) == [0, 1]


def test_what_was_read_of_other_topics_is_refused(filled: Positions, engine: Engine) -> None:
    """Two deployments with one database would take turns in wiping each other's rows."""
    other = Positions(load(topic_prefix="u."), engine)
    found = {name.replace("t.", "u."): topic for name, topic in FOUND.items()}
    with pytest.raises(DatabaseError, match=r"t\.\S+, not of u\.runs.* rebuild"):
        other.start({("u.runs", 0): 5}, found, NOW)
    assert counts(engine, RUNS, POSITIONS) == [1, 4]


def test_clearing_keeps_what_is_nowhere_else(filled: Positions, engine: Engine) -> None:
    """Rows of the read model and positions go, the audit trail stays."""
    filled.clear()
    assert counts(engine, RUNS, REQUESTS, PROGRESS, FAILURES, POSITIONS) == [0] * 5
    assert counts(engine, AUDIT) == [1]
