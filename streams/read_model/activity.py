"""Counts changes of runs by minute, function and kind; without SQL."""

from typing import Final

from streams.database.activity import (
    CANCELS,
    ENDS,
    EVERY_FUNCTION,
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
# Plain texts and tuples made once: every record that is copied is looked at.
_CANCELLED: Final = Status.CANCELLED.value
_RUNNING: Final = Status.RUNNING.value
_NOTHING: Final = ()
_SCHEDULED: Final = (SCHEDULED,)
_STARTED: Final = (STARTED,)
_ENDED: Final = {kind: (kind,) for kind in ENDS}


def kinds(row: Row, cause: Cause, written: int) -> tuple[str, ...]:
    """What counts of a record of `runs`, given by its row; `written` is the record's time (ms).

    A record without a status before is a run's first one, or repeats what was told already.
    """
    status, before = row[_STATUS], row[_BEFORE]
    if before is None:
        return _SCHEDULED if row[_SEQ] == _FIRST else _NOTHING
    if status == before:
        return _NOTHING
    if status == _CANCELLED:
        return _cancelled(cause, written)
    if status == _RUNNING:
        return _STARTED if row[_ATTEMPT] == _FIRST else _NOTHING
    return _ENDED.get(status, _NOTHING)


def _cancelled(cause: Cause, written: int) -> tuple[str, ...]:
    kind = CANCELS.get(cause.type, OTHER_CANCELS)
    if cause.event is None or cause.event.received is None:
        return (kind,)
    return kind, latency(written - cause.event.received)


class Activity:
    """The counts of some records."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str, str], int] = {}

    def add(self, row: Row, cause: Cause, written: int) -> None:
        """Count a record of `runs`, in the minute in which its run changed."""
        counts = self._counts
        for kind in kinds(row, cause, written):
            key = (row[_AT] // MINUTE_MS, row[_FUNCTION], kind)
            counts[key] = counts.get(key, 0) + 1

    def rows(self) -> list[Row]:
        """The rows to add: for each function, and for all together; by their keys."""
        counts = dict(self._counts)
        for (minute, _, kind), number in self._counts.items():
            key = (minute, EVERY_FUNCTION, kind)
            counts[key] = counts.get(key, 0) + number
        return sorted(
            (function, minute * MINUTE_MS, kind, number)
            for (minute, function, kind), number in counts.items()
        )
