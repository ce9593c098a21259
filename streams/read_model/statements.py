"""The statements of the read model as SQL text; rows go to the database's driver as they are.

SQLAlchemy makes the texts, once, for either database. If it also executed them, it would take more
time for each row than the database.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Table, bindparam, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.dml import UpdateBase

from streams.database.engine import SQLITE
from streams.database.schema import ACTIVITY, FAILURES, POSITIONS, PROGRESS, REQUESTS, RUNS
from streams.read_model.batch import Step

# Columns that keep the values with which a run was registered.
_FIXED: Final = frozenset({
    "run_id", "function_id", "app_id", "function_version", "scheduled_at", "event_id",
    "event_name", "event", "source_topic", "source_partition", "source_offset", "replay_of",
    "replay_id",
})  # fmt: skip
# The values of `move`, in order.
MOVED: Final = ("next_offset_after", "as_of_after", "topic", "partition", "topic_id", "next_offset")


class Statements:
    """Every statement that a batch needs; its values are the columns of a row, in order.

    Attributes:
        steps: The statement of each step.
        move: Moves a partition's position if it is still where it was; its values are `MOVED`.
        more: For databases with one writer at a time, adds to a count that is there; its values are
            those of a row, but the count first. With `add_count` for the other rows it does what
            the step does, in a third of its time.
        add_count: Adds a row of counts if it isn't there.
    """

    def __init__(self, database: str) -> None:
        """Make the statements for one kind of database, given by SQLAlchemy's name."""
        # Values are given by order, as in rows, not by name.
        self._dialect: DefaultDialect = (
            sqlite.dialect(paramstyle="qmark")
            if database == SQLITE
            else psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
        )
        self._insert = sqlite.insert if database == SQLITE else postgresql.insert
        self.steps: dict[Step, str] = {
            Step.REMOVE_RUN: self._remove(RUNS),
            Step.ADD_RUN: self._add(RUNS),
            Step.CHANGE_RUN: self._change_run(),
            Step.ADD_REQUEST: self._add(REQUESTS),
            Step.REMOVE_PROGRESS: self._remove(PROGRESS),
            Step.SET_PROGRESS: self._set(PROGRESS),
            Step.REMOVE_FAILURE: self._remove(FAILURES),
            Step.SET_FAILURE: self._set(FAILURES),
            Step.COUNT: self._count(),
        }
        self.move = self._move()
        self.more = self._more() if database == SQLITE else None
        self.add_count = self._add(ACTIVITY)

    def _add(self, table: Table) -> str:
        return self._text(self._insert(table).on_conflict_do_nothing(), table.c.keys())

    def _set(self, table: Table) -> str:
        insert = self._insert(table)
        keys = table.primary_key.columns.keys()
        changes = {new.name: new for new in insert.excluded if new.name not in keys}
        return self._text(
            insert.on_conflict_do_update(index_elements=keys, set_=changes), table.c.keys()
        )

    def _change_run(self) -> str:
        insert = self._insert(RUNS)
        changes = {new.name: new for new in insert.excluded if new.name not in _FIXED}
        change = insert.on_conflict_do_update(
            index_elements=["run_id"], set_=changes, where=insert.excluded.seq > RUNS.c.seq
        )
        return self._text(change, RUNS.c.keys())

    def _count(self) -> str:
        insert = self._insert(ACTIVITY)
        more = {"count": ACTIVITY.c.count + insert.excluded.count}
        keys = ACTIVITY.primary_key.columns.keys()
        count = insert.on_conflict_do_update(index_elements=keys, set_=more)
        return self._text(count, ACTIVITY.c.keys())

    def _more(self) -> str:
        keys = list(ACTIVITY.primary_key.columns)
        more = {"count": ACTIVITY.c.count + bindparam("more")}
        change = update(ACTIVITY).where(*map(_is, keys)).values(more)
        return self._text(change, ["more", *(key.name for key in keys)])

    def _remove(self, table: Table) -> str:
        keys = list(table.primary_key.columns)
        return self._text(delete(table).where(*map(_is, keys)), [key.name for key in keys])

    def _move(self) -> str:
        known = [POSITIONS.c[name] for name in ("topic", "partition", "topic_id", "next_offset")]
        move = update(POSITIONS).where(*map(_is, known))
        move = move.values(
            next_offset=bindparam("next_offset_after"), as_of=bindparam("as_of_after")
        )
        return self._text(move, MOVED)

    def _text(self, statement: UpdateBase, order: Sequence[str]) -> str:
        compiled = statement.compile(dialect=self._dialect)
        assert compiled.positiontup == list(order), compiled.positiontup
        return str(compiled)


def _is(column: ColumnElement[object]) -> ColumnElement[bool]:
    return column == bindparam(column.key)
