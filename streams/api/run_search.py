"""Searches runs: an index answers one filter, and each row that it gives is tested for the others.

For several filters a database may pick a bad index. So one filter is chosen here that an index
answers in the order of the list; its rows are tested for the other filters and the expression. A
call ends after 10,000 rows, or when its evaluations have taken their share of time (S37).
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, RowMapping, select

from streams import matching
from streams.api.fields import EVENT_ONLY
from streams.api.run_model import received_between
from streams.database.schema import RUNS
from streams.errors import BudgetError, EvaluationError
from streams.matching import Meter
from topology import limits

MOST_SCANNED: Final = 10_000
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of runs; None lets every run pass."""

    function_id: str | None = None
    statuses: tuple[str, ...] = ()
    received_after: int | None = None
    received_before: int | None = None
    event_id: str | None = None
    cancellation_id: str | None = None
    replay_id: str | None = None
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
    rest = _rest(filters)
    rows: list[RowMapping] = []
    scanned = failed = 0
    last_id = None
    chunk = limit + 1 if evaluate is None and not rest else _CHUNK
    for row in islice(_candidates(connection, filters, cursor, chunk), most_scanned + 1):
        is_spent = scanned == most_scanned or meter.spent >= limits.SEARCH_COST
        if len(rows) == limit or is_spent:
            return Found(rows, last_id, scanned, failed)
        scanned += 1
        last_id = row["run_id"]
        if any(row[name] not in wanted for name, wanted in rest):
            continue
        fits = None if evaluate is None else evaluate(row["event"])
        failed += fits is _NO_ANSWER
        if fits is None or fits is True:
            rows.append(row)
    return Found(rows, None, scanned, failed)


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


def _leading(filters: Filters) -> tuple[str, ...]:
    """The columns of the index that leads: that of the filter which few runs pass."""
    for name in ("event_id", "replay_id", "cancellation_id"):
        if getattr(filters, name) is not None:
            return (name,)
    leading = () if filters.function_id is None else ("function_id",)
    return (*leading, "status") if filters.statuses else leading


def _rest(filters: Filters) -> list[tuple[str, frozenset[str]]]:
    """What each row is tested for: columns, and the values that they may have."""
    leading = _leading(filters)
    asked = [
        (name, frozenset({value}))
        for name in ("event_id", "replay_id", "cancellation_id", "function_id")
        if (value := getattr(filters, name)) is not None and name not in leading
    ]
    if filters.statuses and "status" not in leading:
        asked.append(("status", frozenset(filters.statuses)))
    return asked


def _candidates(
    connection: Connection, filters: Filters, cursor: str | None, chunk: int
) -> Iterator[RowMapping]:
    """The rows of the leading index, the newest first; one query per status, merged."""
    leading = _leading(filters)
    fixed = [RUNS.c[name] == getattr(filters, name) for name in leading if name != "status"]
    fixed += received_between(filters.received_after, filters.received_before)
    if "status" not in leading:
        return _chunks(connection, fixed, cursor, chunk)
    each = [
        _chunks(connection, [*fixed, RUNS.c.status == status], cursor, chunk)
        for status in filters.statuses
    ]
    return heapq.merge(*each, key=lambda row: row["run_id"], reverse=True)


def _chunks(
    connection: Connection, wanted: list[ColumnElement[bool]], cursor: str | None, chunk: int
) -> Iterator[RowMapping]:
    while True:
        query = select(RUNS).where(*wanted)
        if cursor is not None:
            query = query.where(RUNS.c.run_id < cursor)
        query = query.order_by(RUNS.c.run_id.desc()).limit(chunk)
        rows: list[Any] = list(connection.execute(query).mappings())
        yield from rows
        if len(rows) < chunk:
            return
        cursor = rows[-1]["run_id"]
