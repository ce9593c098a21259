"""Gathers the changes of the records of some ms: of each run and request only the last counts."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from streams.read_model.activity import Activity
from streams.read_model.rows import (
    Row,
    failure_row,
    progress_key,
    progress_row,
    request_row,
    run_row,
)
from streams.settings import Settings
from topology import topics

_SEQ: Final = 6
_FIRST: Final = 1
_SLASHES_OF_FAILURE: Final = 2
_SLASH: Final = b"/"


class Step(StrEnum):
    """What is done with rows of a table, in this order."""

    REMOVE_RUN = "remove_run"
    ADD_RUN = "add_run"
    CHANGE_RUN = "change_run"
    ADD_REQUEST = "add_request"
    REMOVE_PROGRESS = "remove_progress"
    SET_PROGRESS = "set_progress"
    REMOVE_FAILURE = "remove_failure"
    SET_FAILURE = "set_failure"
    COUNT = "count"


class Record(NamedTuple):
    """The parts of a record that matter here; `received` is its time in ms.

    `is_counted`: it is read once more, and was counted as activity before.
    """

    key: bytes | None
    value: bytes | None
    received: int
    is_counted: bool = False


Steps: TypeAlias = list[tuple[Step, list[Row]]]


class Batch:
    """The changes of a few records."""

    def __init__(self) -> None:
        # None: the run was removed, and nothing came after that.
        self._runs: dict[str, Row | None] = {}
        self._removed: set[str] = set()
        self._requests: dict[str, Row] = {}
        self._progress: dict[Row, Row | None] = {}
        self._failures: dict[Row, Row | None] = {}
        self._activity = Activity()

    def add_run(self, record: Record) -> None:
        """Take a record of `runs`.

        Raises:
            CodecError: the bytes are no such record.
        """
        if record.value is None:
            run_id = (record.key or b"").decode(errors="replace")
            self._runs[run_id] = None
            self._removed.add(run_id)
            return
        row, cause = run_row(record.value)
        if not record.is_counted:
            self._activity.add(row, cause, record.received)
        before = self._runs.get(row[0])
        if before is None or before[_SEQ] < row[_SEQ]:
            self._runs[row[0]] = row

    def doubt(self, minutes: Iterable[int]) -> None:
        """Mark minutes, given by the times (ms) at which they begin, as counted incompletely."""
        self._activity.doubt(minutes)

    def add_request(self, record: Record) -> None:
        """Take a record of `requests`.

        Raises:
            CodecError: the bytes are no such record.
        """
        if record.value is not None:
            row = request_row(record.key or b"", record.value, record.received)
            self._requests.setdefault(row[0], row)

    def add_progress(self, record: Record) -> None:
        """Take a record of `request-progress`: about a partition, or about a run without an answer.

        Raises:
            CodecError: the bytes are neither.
        """
        key = record.key or b""
        of_failure = key.count(_SLASH) == _SLASHES_OF_FAILURE
        rows = self._failures if of_failure else self._progress
        if record.value is None:
            rows[progress_key(key)] = None
            return
        row = failure_row(record.value) if of_failure else progress_row(record.value)
        rows[row[:2]] = row

    def steps(self) -> Steps:
        """What to do with which rows, in order; each step has rows."""
        # Sorted by their keys, so that they lie closer together in the database.
        changes = sorted(row for row in self._runs.values() if row is not None)
        rows: Mapping[Step, list[Row]] = {
            Step.REMOVE_RUN: [(run_id,) for run_id in self._removed],
            # A run's first change is never newer than a row that is there already.
            Step.ADD_RUN: [row for row in changes if row[_SEQ] == _FIRST],
            Step.CHANGE_RUN: [row for row in changes if row[_SEQ] != _FIRST],
            Step.ADD_REQUEST: list(self._requests.values()),
            Step.REMOVE_PROGRESS: [key for key, row in self._progress.items() if row is None],
            Step.SET_PROGRESS: [row for row in self._progress.values() if row is not None],
            Step.REMOVE_FAILURE: [key for key, row in self._failures.items() if row is None],
            Step.SET_FAILURE: [row for row in self._failures.values() if row is not None],
            Step.COUNT: self._activity.rows(),
        }
        return [(step, rows[step]) for step in Step if rows[step]]


Adder: TypeAlias = Callable[[Batch, Record], None]


def adders(settings: Settings) -> dict[str, Adder]:
    """The method that takes a record of a topic, by the topic's full name."""
    return {
        settings.topic(topics.RUNS): Batch.add_run,
        settings.topic(topics.REQUESTS): Batch.add_request,
        settings.topic(topics.REQUEST_PROGRESS): Batch.add_progress,
    }
