"""Searches runs: an index answers one filter, and each row that it gives is tested for the others.

For several filters a database may pick a bad index. So one filter is chosen here that an index
answers in the order of the list; its rows are tested for the other filters and the expression. A
call ends after 10,000 rows, or when its evaluations have taken their share of time (S37). Only a
range of ends in which few runs ended is answered out of order: their ids are read and sorted.

Rows are looked at without what may be large in them. What passes is read whole in lots of so many
characters of events, and a page ends after as many: whatever the events are, a call holds no more
than a page and a lot.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from streams import matching
from streams.api.fields import EVENT_ONLY, FUTURE_MS, Row
from streams.api.run_model import received_between
from streams.database.schema import FAILURES, RUNS
from streams.errors import BudgetError, EvaluationError
from streams.matching import Meter
from topology import limits
from topology.statuses import ENDED

MOST_SCANNED: Final = 10_000
_CHUNK: Final = 500
# Few runs have any one value of these.
_NARROW: Final = ("event_id", "replay_id", "cancellation_id")
_EXACT: Final = ("function_id", *_NARROW)
_ENDED: Final = tuple(sorted(ENDED))
# What is looked at of a row before it is read whole.
_LOOK: Final = (
    RUNS.c.run_id,
    RUNS.c.status,
    RUNS.c.ended_at,
    *(RUNS.c[name] for name in _EXACT),
    func.length(RUNS.c.event).label("chars"),
)

Test: TypeAlias = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of runs; None lets every run pass.

    All times are exclusive bounds, in ms.

    Attributes:
        failed_in: The request whose expression had no answer on them.
    """

    function_id: str | None = None
    statuses: tuple[str, ...] = ()
    received_after: int | None = None
    received_before: int | None = None
    event_id: str | None = None
    cancellation_id: str | None = None
    replay_id: str | None = None
    ended_after: int | None = None
    ended_before: int | None = None
    failed_in: str | None = None
    expression: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one call.

    Attributes:
        rows: The runs that fit, the newest first.
        last_id: Where the next call goes on; None where nothing is left.
        scanned: How many runs were looked at.
        failed: On how many of them the expression had no answer; they don't fit.
    """

    rows: list[RowMapping]
    last_id: str | None
    scanned: int
    failed: int


def search(
    connection: Connection,
    filters: Filters,
    limit: int,
    cursor: str | None,
    *,
    most_scanned: int = MOST_SCANNED,
) -> Found:
    """The next runs that fit, the newest first; looks at no more than `most_scanned`."""
    meter = Meter()
    evaluate = _evaluator(filters.expression, meter)
    page = _Page(limit)
    scanned = failed = 0
    last_id = None
    looks = _looks(connection, filters, limit, cursor, most_scanned)
    for run_id, lot in islice(_looked_at(connection, filters, looks, limit), most_scanned + 1):
        is_spent = scanned == most_scanned or meter.spent >= limits.SEARCH_COST
        if page.is_full or is_spent:
            return Found(page.rows, last_id, scanned, failed)
        scanned += 1
        last_id = run_id
        row = lot.rows.get(run_id)
        if row is None:
            continue
        fits = None if evaluate is None else evaluate(row["event"])
        failed += fits is _NO_ANSWER
        if fits is None or fits is True:
            page.add(row)
    return Found(page.rows, None, scanned, failed)


class _Page:
    """Runs that fit; it is full when it has `limit` of them, or the characters of a lot."""

    def __init__(self, limit: int) -> None:
        self.rows: list[RowMapping] = []
        self._limit = limit
        self._chars = 0

    @property
    def is_full(self) -> bool:
        return len(self.rows) == self._limit or self._chars >= limits.SEARCH_CHARS

    def add(self, row: RowMapping) -> None:
        self.rows.append(row)
        self._chars += len(row["event"])


class _Lot:
    """Runs that were looked at together; those that pass are read whole when one is asked for."""

    def __init__(self, connection: Connection, passes: Test) -> None:
        self.looked_at: list[str] = []
        self._passing: list[str] = []
        self._chars = 0
        self._connection = connection
        self._passes = passes

    def add(self, look: RowMapping) -> None:
        self.looked_at.append(look["run_id"])
        if self._passes(look):
            self._passing.append(look["run_id"])
            self._chars += look["chars"]

    def is_full(self, most: int) -> bool:
        if len(self.looked_at) == _CHUNK or len(self._passing) == most:
            return True
        return self._chars >= limits.SEARCH_CHARS

    @cached_property
    def rows(self) -> Mapping[str, RowMapping]:
        """The rows that pass, by id; some may be gone, or changed, since they were looked at."""
        if not self._passing:
            return {}
        query = select(RUNS).where(RUNS.c.run_id.in_(self._passing))
        rows = self._connection.execute(query).mappings()
        return {row["run_id"]: row for row in rows if self._passes(row)}


class _NoAnswer:
    """The result of an expression that has no answer."""


_NO_ANSWER: Final = _NoAnswer()


def _evaluator(text: str | None, meter: Meter) -> Callable[[str], bool | _NoAnswer] | None:
    if text is None:
        return None
    expression = matching.parse(text, EVENT_ONLY)

    def evaluate(event: str) -> bool | _NoAnswer:
        meter.add(len(event) * limits.PARSED_BYTE_COST)
        try:
            return expression.evaluate(orjson.loads(event), None, meter)
        except (EvaluationError, BudgetError):
            return _NO_ANSWER

    return evaluate


def _narrowed(filters: Filters) -> Filters:
    """The same filters, and what follows from them: fewer runs are looked at."""
    if not _asks_for_ends(filters):
        return filters
    before = filters.received_before
    if filters.ended_before is not None:
        # A run is received before it ends, but by the clock of a broker.
        latest = filters.ended_before + FUTURE_MS
        before = latest if before is None else min(before, latest)
    return replace(filters, statuses=filters.statuses or _ENDED, received_before=before)


def _asks_for_ends(filters: Filters) -> bool:
    return filters.ended_after is not None or filters.ended_before is not None


def _leading(filters: Filters) -> tuple[str, ...]:
    """The columns of the index that leads: that of the filter which few runs pass."""
    if filters.failed_in is not None:
        return ()
    for name in _NARROW:
        if getattr(filters, name) is not None:
            return (name,)
    leading = () if filters.function_id is None else ("function_id",)
    return (*leading, "status") if filters.statuses else leading


def _exact(filters: Filters) -> dict[str, str]:
    """The columns that must have one value, with it."""
    found = {name: getattr(filters, name) for name in _EXACT}
    return {name: value for name, value in found.items() if value is not None}


def _test(filters: Filters) -> Test:
    """Whether a row passes all filters but the time of receipt, which is in its id."""
    exact = tuple(_exact(filters).items())
    statuses = frozenset(filters.statuses)
    asks_for_ends = _asks_for_ends(filters)
    after, before = filters.ended_after, filters.ended_before

    def passes(row: Row) -> bool:
        if any(row[name] != value for name, value in exact):
            return False
        if statuses and row["status"] not in statuses:
            return False
        return not asks_for_ends or _is_between(row["ended_at"], after, before)

    return passes


def _is_between(at: int | None, after: int | None, before: int | None) -> bool:
    if at is None or (after is not None and at <= after):
        return False
    return before is None or at < before


def _fits_all(filters: Filters) -> bool:
    """Whether each row of the leading index fits."""
    asked = set(_exact(filters)) | ({"status"} if filters.statuses else set())
    further = _asks_for_ends(filters) or filters.expression is not None
    return asked <= set(_leading(filters)) and not further


def _looked_at(
    connection: Connection, filters: Filters, looks: Iterable[RowMapping], limit: int
) -> Iterator[tuple[str, _Lot]]:
    """The ids of these rows, each with its lot."""
    most = limit if filters.expression is None else _CHUNK
    for lot in _lots(looks, connection, _test(filters), most):
        for run_id in lot.looked_at:
            yield run_id, lot


def _lots(
    looks: Iterable[RowMapping], connection: Connection, passes: Test, most: int
) -> Iterator[_Lot]:
    lot = _Lot(connection, passes)
    for look in looks:
        lot.add(look)
        if lot.is_full(most):
            yield lot
            lot = _Lot(connection, passes)
    if lot.looked_at:
        yield lot


def _looks(
    connection: Connection, filters: Filters, limit: int, cursor: str | None, most: int
) -> Iterator[RowMapping]:
    """A look at each row that may fit, the newest first."""
    ended = _ended_between(connection, filters, most)
    if ended is not None:
        return _looks_at(connection, filters, ended, cursor)
    filters = _narrowed(filters)
    # Where all that is looked at fits, one more than a page has tells whether another follows.
    return _candidates(connection, filters, cursor, limit + 1 if _fits_all(filters) else _CHUNK)


def _ended_between(connection: Connection, filters: Filters, most: int) -> list[str] | None:
    """The runs that ended in the range that is asked for, the newest first.

    None where another filter leads, no range is asked for, or more than `most` ended in it.
    """
    leads = filters.failed_in or any(getattr(filters, name) is not None for name in _NARROW)
    if leads or not _asks_for_ends(filters):
        return None
    query = select(RUNS.c.run_id).order_by(RUNS.c.ended_at).limit(most + 1)
    if filters.ended_after is not None:
        query = query.where(RUNS.c.ended_at > filters.ended_after)
    if filters.ended_before is not None:
        # A bound may lie one beyond what a database's integers hold.
        query = query.where(RUNS.c.ended_at <= filters.ended_before - 1)
    ids = connection.execute(query).scalars().all()
    return None if len(ids) > most else sorted(ids, reverse=True)


def _looks_at(
    connection: Connection, filters: Filters, ids: Iterable[str], cursor: str | None
) -> Iterator[RowMapping]:
    """A look at those of these runs that come after the cursor and may fit, in their order."""
    query = select(*_LOOK).where(
        *(RUNS.c[name] == value for name, value in _exact(filters).items()),
        *received_between(filters.received_after, filters.received_before),
    )
    if filters.statuses:
        query = query.where(RUNS.c.status.in_(filters.statuses))
    rest = (run_id for run_id in ids if cursor is None or run_id < cursor)
    while some := list(islice(rest, _CHUNK)):
        chunk = query.where(RUNS.c.run_id.in_(some)).order_by(RUNS.c.run_id.desc())
        yield from connection.execute(chunk).mappings()


def _candidates(
    connection: Connection, filters: Filters, cursor: str | None, chunk: int
) -> Iterator[RowMapping]:
    """A look at each row of the leading index, the newest first; one query per status, merged."""
    leading = _leading(filters)
    fixed = [RUNS.c[name] == value for name, value in _exact(filters).items() if name in leading]
    query = select(*_LOOK).where(
        *fixed, *received_between(filters.received_after, filters.received_before)
    )
    if filters.failed_in is not None:
        query = query.join(FAILURES, FAILURES.c.run_id == RUNS.c.run_id)
        query = query.where(FAILURES.c.request_id == filters.failed_in)
        return _chunks(connection, query, FAILURES.c.run_id, cursor, chunk)
    if "status" not in leading:
        return _chunks(connection, query, RUNS.c.run_id, cursor, chunk)
    each = [
        _chunks(connection, query.where(RUNS.c.status == status), RUNS.c.run_id, cursor, chunk)
        for status in filters.statuses
    ]
    return heapq.merge(*each, key=lambda look: look["run_id"], reverse=True)


def _chunks(
    connection: Connection,
    query: Select[Any],
    ids: ColumnElement[str],
    cursor: str | None,
    chunk: int,
) -> Iterator[RowMapping]:
    query = query.order_by(ids.desc()).limit(chunk)
    while True:
        rest = query if cursor is None else query.where(ids < cursor)
        looks = list(connection.execute(rest).mappings())
        yield from looks
        if len(looks) < chunk:
            return
        cursor = looks[-1]["run_id"]
