"""Writes batches: rows and positions in one transaction, if the positions are where they were.

Two processes may read the same partition, if the group has given it to another one and the first
doesn't know yet. The slower one finds that a position has moved, and writes nothing of its batch.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from streams import crash, logs
from streams.database.engine import writing
from streams.read_model.batch import Step, Steps
from streams.read_model.position import Moves
from streams.read_model.rows import Row
from streams.read_model.statements import Statements

# Errors of a database, or of its driver, about values that don't fit a column.
_REFUSALS = (DataError, IntegrityError, OverflowError, UnicodeError)
log = logs.get(__name__)


class MovedError(Exception):
    """Another process has moved a position: the positions must be read again."""


class Writer:
    """Writes to one database; used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect.name)
        self._limiter = logs.Limiter()

    def write(self, moves: Moves, steps: Steps, topic_ids: Mapping[str, str]) -> int:
        """Write a batch in one transaction; gives the number of rows that the database refused.

        Raises:
            MovedError: a position has moved; nothing was written.
            DBAPIError: the database can't be used for now; all was written, or nothing.
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
                if step is Step.COUNT and self._statements.more is not None:
                    self._count(connection, self._statements.more, rows)
                else:
                    connection.exec_driver_sql(self._statements.steps[step], rows)
            crash.crash_at("read_model_before_commit")
        crash.crash_at("read_model_after_commit")

    def _count(self, connection: Connection, more: str, rows: list[Row]) -> None:
        """Add to the counts that are there, which most are, and then the other ones."""
        values = [(number, minute, function, kind) for minute, function, kind, number in rows]
        if connection.exec_driver_sql(more, values).rowcount < len(rows):
            connection.exec_driver_sql(self._statements.add_count, rows)

    def _write_singly(self, moved: list[Row], steps: Steps) -> int:
        """Write row by row, without the refused rows; gives their number."""
        with writing(self._engine) as connection:
            self._move(connection, moved)
            return sum(not self._try(connection, step, row) for step, rows in steps for row in rows)

    def _try(self, connection: Connection, step: Step, row: Row) -> bool:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(self._statements.steps[step], row)
        except _REFUSALS as error:
            suppressed = self._limiter.admit(step)
            if suppressed is not None:
                # The driver's text may hold values, so it isn't logged.
                reason = type(error).__name__
                log.warning(
                    "A row doesn't fit", step=step, id=row[0], reason=reason, suppressed=suppressed
                )
            return False
        return True

    def _move(self, connection: Connection, moved: list[Row]) -> None:
        """Move the positions first, and always in this order, so that writers don't deadlock."""
        if connection.exec_driver_sql(self._statements.move, moved).rowcount != len(moved):
            raise MovedError
