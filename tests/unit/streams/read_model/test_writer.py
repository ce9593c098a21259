"""Batches are written whole, once, and only where nobody else has moved; on both databases."""

from typing import Any

import pytest
from sqlalchemy import Engine, Table, select

from streams.database.schema import FAILURES, POSITIONS, PROGRESS, REQUESTS, RUNS
from streams.read_model.batch import Batch, Record
from streams.read_model.position import Move, Position
from streams.read_model.positions import Positions, TopicNow
from streams.read_model.writer import MovedError, Writer
from streams.settings import Settings
from tests.support import records
from tests.support.records import encoded, run_id

TOPIC = "t.runs"
PLACES = [(TOPIC, 0), (TOPIC, 1)]


class Feeding:
    """Writes records one batch at a time, and moves on."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._engine = engine
        self._writer = Writer(engine)
        self.batch = Batch()
        found = {TOPIC: TopicNow("id")}
        self.at = Positions(settings, engine).start(dict.fromkeys(PLACES, 0), found, 1)[TOPIC, 0]

    def runs(self, *changes: dict[str, Any] | str) -> int:
        """Write records of runs; a text is the id of a removed one."""
        for one in changes:
            gone = isinstance(one, str)
            self.batch.add_run(Record(str(one).encode(), None if gone else encoded(one), 1))  # type: ignore[arg-type]
        return self.write()

    def write(self, before: Position | None = None) -> int:
        """Write the batch, from where we are or from there."""
        steps, self.batch = self.batch.steps(), Batch()
        before = before or self.at
        after = Position(before.next_offset + 1, 9)
        refused = self._writer.write({(TOPIC, 0): Move(before, after)}, steps, {TOPIC: "id"})
        self.at = after
        return refused

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """What a table holds."""
        with self._engine.connect() as connection:
            order = list(table.primary_key.columns)
            return [
                dict(row._mapping) for row in connection.execute(select(table).order_by(*order))
            ]

    def statuses(self) -> dict[str, tuple[str, int]]:
        """Status and count of changes of each run."""
        return {row["run_id"]: (row["status"], row["seq"]) for row in self.rows(RUNS)}


@pytest.fixture
def feeding(settings: Settings, engine: Engine) -> Feeding:
    """An empty database and a writer."""
    return Feeding(settings, engine)


def test_a_row_has_every_column_of_its_record(feeding: Feeding) -> None:
    """Both the inserted and the changed one."""
    feeding.runs(records.run(1))
    feeding.runs(records.cancelled(1, error={"name": "E"}, cancellation_id="C", stopped_at=3))
    [changed] = feeding.rows(RUNS)
    feeding.runs(run_id(1))
    feeding.runs(records.cancelled(1, error={"name": "E"}, cancellation_id="C", stopped_at=3))
    assert feeding.rows(RUNS) == [changed]
    assert changed["cancellation_id"] == "C"
    assert changed["event"] == encoded(records.EVENT).decode()


def test_a_change_that_is_not_newer_is_dropped(feeding: Feeding) -> None:
    """A run's count of changes decides, whatever comes when."""
    feeding.runs(records.run(1, seq=4, status="running"))
    feeding.runs(records.run(1, seq=4, status="sleeping"), records.run(2, seq=2, status="failed"))
    feeding.runs(records.run(1, seq=3, status="sleeping"), records.run(2))
    assert feeding.statuses() == {run_id(1): ("running", 4), run_id(2): ("failed", 2)}


def test_a_removed_run_is_gone_and_may_come_anew(feeding: Feeding) -> None:
    """With a lower count of changes than before."""
    feeding.runs(records.cancelled(1), records.cancelled(2), records.cancelled(3))
    feeding.runs(run_id(1), run_id(2), records.run(2), run_id(4))
    assert feeding.statuses() == {run_id(2): ("scheduled", 1), run_id(3): ("cancelled", 3)}


def test_requests_and_their_progress(feeding: Feeding) -> None:
    """A request is written once, progress again and again, and both kinds can be removed."""
    name = records.request_id(1)

    def add(key: str, record: dict[str, Any] | None) -> None:
        value = None if record is None else encoded(record)
        feeding.batch.add_progress(Record(key.encode(), value, 1))

    def ask(kind: str, body: dict[str, Any]) -> None:
        feeding.batch.add_request(Record(b"k", encoded(records.request(1, kind, body)), 1))

    ask("pause", {"function_id": "a-f"})
    add(f"{name}/0", records.progress(1, 0, state="running", scanned=1))
    add(f"{name}/1", records.progress(1, 1))
    add(f"{name}/0/{run_id(5)}", records.failure(1, 0, 5))
    feeding.write()
    ask("resume", {"function_id": "a-f"})
    add(f"{name}/0", records.progress(1, 0, state="done", scanned=2, sample=["a"]))
    add(f"{name}/1", None)
    add(f"{name}/0/{run_id(5)}", records.failure(1, 0, 5, "still none"))
    add(f"{name}/0/{run_id(6)}", records.failure(1, 0, 6))
    feeding.write()
    add(f"{name}/0/{run_id(6)}", None)
    feeding.write()
    assert [row["type"] for row in feeding.rows(REQUESTS)] == ["pause"]
    [row] = feeding.rows(PROGRESS)
    assert (row["partition"], row["state"], row["scanned"], row["sample"]) == (
        0,
        "done",
        2,
        '["a"]',
    )
    failed = {"request_id": name, "run_id": run_id(5), "error": "still none"}
    assert feeding.rows(FAILURES) == [failed]


def test_nothing_is_written_from_a_position_that_has_moved(feeding: Feeding) -> None:
    """A batch that was written before, or another's, is dropped as a whole."""
    before = feeding.at
    feeding.runs(records.run(1))
    feeding.batch.add_run(Record(b"", encoded(records.run(2)), 1))
    with pytest.raises(MovedError):
        feeding.write(before)
    assert list(feeding.statuses()) == [run_id(1)]
    moved = {
        (row["partition"], row["next_offset"], row["as_of"]) for row in feeding.rows(POSITIONS)
    }
    assert moved == {(0, 1, 9), (1, 0, 1)}


def test_nothing_is_written_for_another_life_of_a_topic(
    feeding: Feeding, settings: Settings, engine: Engine
) -> None:
    """Offsets of a topic that was made anew mean something else."""
    found = {TOPIC: TopicNow("other")}
    Positions(settings, engine).start(dict.fromkeys(PLACES, 0), found, 2)
    with pytest.raises(MovedError):
        feeding.runs(records.run(1))
    assert feeding.statuses() == {}


def test_a_row_that_does_not_fit_is_left_out(feeding: Feeding) -> None:
    """The rest of its batch is written, and so is the position."""
    large = {"source": {"topic": "events", "partition": 0, "offset": 1 << 70}}
    assert feeding.runs(records.run(1), records.run(2, **large), records.cancelled(3)) == 1
    assert list(feeding.statuses()) == [run_id(1), run_id(3)]
    assert [row["next_offset"] for row in feeding.rows(POSITIONS)] == [1, 0]
    assert feeding.runs(records.run(4)) == 0


def test_a_large_batch_goes_through(feeding: Feeding) -> None:
    """More rows than a statement may have values."""
    assert feeding.runs(*(records.run(number) for number in range(3_000))) == 0
    assert feeding.runs(*(records.cancelled(number) for number in range(3_000))) == 0
    assert set(feeding.statuses().values()) == {("cancelled", 3)}
    feeding.runs(*(run_id(number) for number in range(3_000)))
    assert feeding.statuses() == {}
