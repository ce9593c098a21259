"""Writes batches: rows and positions in one transaction, and only on the positions they start from.

A second reader of a partition, or one that was given up but doesn't know yet, finds that a position
isn't where it left it: nothing of its batch is written. So no batch is written twice.
"""

from collections.abc import Mapping
from typing import TypeAlias

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from streams import crash, logs
from streams.database.engine import writing
from streams.read_model.batch import Step, Steps
from streams.read_model.positions import Move
from streams.read_model.rows import Row
from streams.read_model.statements import Statements
from topology.topics import TopicPlace

# What a database says, or a driver before it asks, about values that don't fit a column.
Moves: TypeAlias = Mapping[TopicPlace, Move]
_REFUSALS = (DataError, IntegrityError, OverflowError, UnicodeError)
_log = logs.get(__name__)


class MovedError(Exception):
    """Somebody else has moved a position: read them again."""


class Writer:
    """Writes to one database; used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect.name)
        self._limiter = logs.Limiter()

    def write(self, moves: Moves, steps: Steps, topic_ids: Mapping[str, str]) -> int:
        """Write a batch as a whole; how many of its rows the database refuses.

        Raises:
            MovedError: a position is elsewhere; nothing was written.
            DBAPIError: the database can't be used now; nothing was written, or all was.
        """
        moved = [
            (after.next_offset, after.as_of, topic, partition, topic_ids[topic], before.next_offset)
            for (topic, partition), (before, after) in sorted(moves.items())
        ]
        try:
            self._write(moved, steps)
        except _REFUSALS:
            return self._write_singly(moved, steps)
        return 0

    def _write(self, moved: list[Row], steps: Steps) -> None:
        with writing(self._engine) as connection:
            self._move(connection, moved)
            for step, rows in steps:
                connection.exec_driver_sql(self._statements.steps[step], rows)
            crash.crash_at("read_model_before_commit")
        crash.crash_at("read_model_after_commit")

    def _write_singly(self, moved: list[Row], steps: Steps) -> int:
        """Write row by row, without those that are refused."""
        with writing(self._engine) as connection:
            self._move(connection, moved)
            return sum(not self._try(connection, step, row) for step, rows in steps for row in rows)

    def _try(self, connection: Connection, step: Step, row: Row) -> bool:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(self._statements.steps[step], row)
        except _REFUSALS as error:
            held = self._limiter.admit(step)
            if held is not None:
                # Not the driver's text, which may hold the values.
                reason = type(error).__name__
                _log.warning("A row doesn't fit", step=step, id=row[0], reason=reason, held=held)
            return False
        return True

    def _move(self, connection: Connection, moved: list[Row]) -> None:
        """Move the positions first: in this order, so that two writers don't block each other."""
        if connection.exec_driver_sql(self._statements.move, moved).rowcount != len(moved):
            raise MovedError
