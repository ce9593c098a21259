"""Deletes what is old in small portions, so that nobody waits: runs, requests, audit, activity."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, Select, delete, exists, select

from streams.database.activity import EVERY_FUNCTION, TRIMMED
from streams.database.engine import add_missing, writing
from streams.database.schema import ACTIVITY, AUDIT, FAILURES, PROGRESS, REQUESTS, RUNS
from streams.settings import Settings
from topology.keys import lowest_id

# More runs than end while the copier does one round.
_MOST: Final = 1_000
_PAUSE_S: Final = 60.0
# Rows of `activity`, some 200 MB; a thousand functions at work fill them in hours.
ACTIVITY_ROWS: Final = 2_000_000
# States of a request in a partition in which it isn't finished.
_OPEN: Final = ("queued", "running")


class Retention:
    """Deletes ended runs, finished requests, audit rows and activity once they are old.

    The age of a run counts from its end, that of a request from its receipt, and that of an audit
    row from its call; the settings say how old they get. Where activity has too many rows, the
    oldest minutes of single functions go, those of all functions together stay.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        monotonic: Callable[[], float] = time.monotonic,
        most: int = _MOST,
        activity_rows: int = ACTIVITY_ROWS,
    ) -> None:
        """Look at once, and then every minute; at most `most` of a kind are deleted at once.

        Of activity it is a minute at once, if it is old or more than `activity_rows` are there.
        """
        self._most = most
        self._activity_rows = activity_rows
        self._engine = engine
        self._kept_ms = int(settings.retention_runs.total_seconds() * 1_000)
        self._audit_kept_ms = int(settings.retention_audit.total_seconds() * 1_000)
        self._activity_kept_ms = int(settings.retention_activity.total_seconds() * 1_000)
        self._monotonic = monotonic
        self._next = monotonic()

    def step(self, now_ms: int) -> int:
        """Delete a few of each, if it is time to look; gives their number.

        Raises:
            DBAPIError: the database can't be used for now.
        """
        if self._monotonic() < self._next:
            return 0
        before = now_ms - self._kept_ms
        runs, requests = self._ids(_ended_runs(before)), self._ids(_over_requests(before))
        requests += self._ids(_lost_progress(before))
        audited = self._ids(_old_audit(now_ms - self._audit_kept_ms))
        minutes = self._minutes(_old_activity(now_ms - self._activity_kept_ms))
        spare = self._minutes(_too_much_activity(self._activity_rows))
        number = len(runs) + len(requests) + len(audited) + len(minutes) + len(spare)
        if number:
            with writing(self._engine) as connection:
                connection.execute(delete(RUNS).where(RUNS.c.run_id.in_(runs)))
                for table in (FAILURES, PROGRESS, REQUESTS):
                    connection.execute(delete(table).where(table.c.request_id.in_(requests)))
                connection.execute(delete(AUDIT).where(AUDIT.c.id.in_(audited)))
                connection.execute(delete(ACTIVITY).where(ACTIVITY.c.minute.in_(minutes)))
                _trim(connection, spare)
        else:
            self._next = self._monotonic() + _PAUSE_S
        return number

    def _ids(self, wanted: Select[tuple[str]]) -> list[str]:
        """The ids that a query finds; read before anything is locked."""
        with self._engine.connect() as connection:
            return list(connection.scalars(wanted.limit(self._most)))

    def _minutes(self, wanted: Select[tuple[int]]) -> list[int]:
        """The oldest minute that a query finds, if any."""
        with self._engine.connect() as connection:
            return list(connection.scalars(wanted.order_by(ACTIVITY.c.minute).limit(1)))


def _ended_runs(before: int) -> Select[tuple[str]]:
    return select(RUNS.c.run_id).where(RUNS.c.ended_at < before).order_by(RUNS.c.ended_at)


def _over_requests(before: int) -> Select[tuple[str]]:
    of_it = PROGRESS.c.request_id == REQUESTS.c.request_id
    is_open = exists().where(of_it, PROGRESS.c.state.in_(_OPEN))
    asked = select(REQUESTS.c.request_id).where(REQUESTS.c.received_at < before, ~is_open)
    return asked.order_by(REQUESTS.c.received_at)


def _lost_progress(before: int) -> Select[tuple[str]]:
    """Requests of which only progress is left: Kafka forgot them before their progress."""
    there = exists().where(REQUESTS.c.request_id == PROGRESS.c.request_id)
    return (
        select(PROGRESS.c.request_id)
        .where(PROGRESS.c.updated_at < before, PROGRESS.c.state.not_in(_OPEN), ~there)
        .order_by(PROGRESS.c.updated_at)
    )


def _old_audit(before: int) -> Select[tuple[str]]:
    """Audit rows of calls before a time, which their ids begin with."""
    return select(AUDIT.c.id).where(AUDIT.c.id < lowest_id(before)).order_by(AUDIT.c.id)


def _trim(connection: Connection, minutes: Sequence[int]) -> None:
    """Remove what single functions did in these minutes, and mark them."""
    of_one = ACTIVITY.c.function_id != EVERY_FUNCTION
    connection.execute(delete(ACTIVITY).where(ACTIVITY.c.minute.in_(minutes), of_one))
    mark = {"function_id": EVERY_FUNCTION, "kind": TRIMMED, "count": 1}
    if minutes:
        add_missing(connection, ACTIVITY, [mark | {"minute": minute} for minute in minutes])


def _old_activity(before: int) -> Select[tuple[int]]:
    return select(ACTIVITY.c.minute).where(ACTIVITY.c.minute < before)


def _too_much_activity(rows: int) -> Select[tuple[int]]:
    """Minutes of functions that lie behind the newest so many rows."""
    by_age = select(ACTIVITY.c.minute).order_by(ACTIVITY.c.minute.desc())
    oldest_kept = by_age.offset(rows).limit(1).scalar_subquery()
    of_one = ACTIVITY.c.function_id != EVERY_FUNCTION
    return select(ACTIVITY.c.minute).where(ACTIVITY.c.minute <= oldest_kept, of_one)
