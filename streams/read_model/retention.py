"""Deletes what is over for long, a little at a time, so that nobody waits for it."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, Select, delete, exists, select

from streams.database.engine import writing
from streams.database.schema import FAILURES, PROGRESS, REQUESTS, RUNS
from streams.settings import Settings

# More ended runs than a round of the copier brings.
_MOST: Final = 1_000
_PAUSE_S: Final = 60.0
# Of a request in one partition: more is to come of it.
_OPEN: Final = ("queued", "running")


class Retention:
    """Deletes ended runs, and requests that nobody works on, once they are older than the setting.

    A run's age counts from its end, a request's from its receipt.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        monotonic: Callable[[], float] = time.monotonic,
        most: int = _MOST,
    ) -> None:
        """Look at once, and then every minute; at most `most` of a kind are deleted at once."""
        self._most = most
        self._engine = engine
        self._kept_ms = int(settings.retention_runs.total_seconds() * 1_000)
        self._monotonic = monotonic
        self._next = monotonic()

    def step(self, now_ms: int) -> int:
        """Delete a few where there is something to delete; how many runs and requests that were.

        Raises:
            DBAPIError: the database can't be used now.
        """
        if self._monotonic() < self._next:
            return 0
        before = now_ms - self._kept_ms
        runs, requests = self._ids(_ended_runs(before)), self._ids(_over_requests(before))
        requests += self._ids(_lost_progress(before))
        if runs or requests:
            with writing(self._engine) as connection:
                connection.execute(delete(RUNS).where(RUNS.c.run_id.in_(runs)))
                for table in (FAILURES, PROGRESS, REQUESTS):
                    connection.execute(delete(table).where(table.c.request_id.in_(requests)))
        else:
            self._next = self._monotonic() + _PAUSE_S
        return len(runs) + len(requests)

    def _ids(self, wanted: Select[tuple[str]]) -> list[str]:
        """What is found, read before anything is locked."""
        with self._engine.connect() as connection:
            return list(connection.scalars(wanted.limit(self._most)))


def _ended_runs(before: int) -> Select[tuple[str]]:
    return select(RUNS.c.run_id).where(RUNS.c.ended_at < before).order_by(RUNS.c.ended_at)


def _over_requests(before: int) -> Select[tuple[str]]:
    of_it = PROGRESS.c.request_id == REQUESTS.c.request_id
    is_open = exists().where(of_it, PROGRESS.c.state.in_(_OPEN))
    asked = select(REQUESTS.c.request_id).where(REQUESTS.c.received_at < before, ~is_open)
    return asked.order_by(REQUESTS.c.received_at)


def _lost_progress(before: int) -> Select[tuple[str]]:
    """Requests that are told of and not there: Kafka has forgotten them before their progress."""
    there = exists().where(REQUESTS.c.request_id == PROGRESS.c.request_id)
    return (
        select(PROGRESS.c.request_id)
        .where(PROGRESS.c.updated_at < before, PROGRESS.c.state.not_in(_OPEN), ~there)
        .order_by(PROGRESS.c.updated_at)
    )
