"""Counts changes of runs by minute, function and kind; without SQL."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from streams.database.activity import (
    BY_EVENT,
    CANCELS,
    ENDS,
    EVERY_FUNCTION,
    INCOMPLETE,
    OTHER_CANCELS,
    SCHEDULED,
    STARTED,
    latency,
)
from streams.database.schema import RUNS
from streams.read_model.rows import Cause, Row
from topology.limits import MINUTE_MS
from topology.statuses import Status

_COLUMNS: Final = RUNS.c.keys()
_FUNCTION: Final = _COLUMNS.index("function_id")
_STATUS: Final = _COLUMNS.index("status")
_BEFORE: Final = _COLUMNS.index("status_before")
_SEQ: Final = _COLUMNS.index("seq")
_ATTEMPT: Final = _COLUMNS.index("attempt")
_AT: Final = _COLUMNS.index("changed_at")
_FIRST: Final = 1
# Plain texts: every record that is copied is looked at.
_CANCELLED: Final = Status.CANCELLED.value
_RUNNING: Final = Status.RUNNING.value
_ENDS: Final = {kind: kind for kind in ENDS}


def kind_of(row: Row, cause: Cause, written: int) -> str | None:
    """What a record of `runs` counts as, given by its row; `written` is the record's time (ms).

    A record without a status before is a run's first one, or repeats what was told already.
    """
    status, before = row[_STATUS], row[_BEFORE]
    if before is None:
        return SCHEDULED if row[_SEQ] == _FIRST else None
    if status == before:
        return None
    if status == _CANCELLED:
        return _cancel(cause, written)
    if status == _RUNNING:
        return STARTED if row[_ATTEMPT] == _FIRST else None
    return _ENDS.get(status)


def _cancel(cause: Cause, written: int) -> str:
    event = cause.event
    if cause.type == BY_EVENT and event is not None and event.received is not None:
        return latency(written - event.received)
    return CANCELS.get(cause.type, OTHER_CANCELS)


class Activity:
    """The counts of some records."""

    def __init__(self) -> None:
        # The function of each change, by minute and kind: counting them together is cheaper.
        self._functions: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        self._doubtful: set[int] = set()

    def add(self, row: Row, cause: Cause, written: int) -> None:
        """Count a record of `runs`, in the minute in which its run changed."""
        kind = kind_of(row, cause, written)
        if kind is not None:
            self._functions[row[_AT] // MINUTE_MS, kind].append(row[_FUNCTION])

    def doubt(self, minutes: Iterable[int]) -> None:
        """Mark minutes (ms) of which changes may be missing."""
        self._doubtful.update(minutes)

    def rows(self) -> list[Row]:
        """The rows to add: marks, then for all functions together and for each; in one order.

        Processes that write the same rows in one order don't wait for each other in a circle.
        """
        rows: list[Row] = [(at, EVERY_FUNCTION, INCOMPLETE, 1) for at in sorted(self._doubtful)]
        for minute, kind in sorted(self._functions):
            functions = self._functions[minute, kind]
            at, counts = minute * MINUTE_MS, Counter(functions)
            rows.append((at, EVERY_FUNCTION, kind, len(functions)))
            rows += [(at, function, kind, counts[function]) for function in sorted(counts)]
        return rows
