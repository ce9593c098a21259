"""Keeps how far each partition is copied, and finds out when that is no longer valid.

A topic is read from its beginning, and its old rows are dropped, in two cases:

- The topic was deleted and made anew: it has another id, or a position lies beyond its end.
- Reading of `runs` paused for long. Brokers forget the removal of a run after a day
  (`delete.retention.ms`), so a run that was removed meanwhile would stay for ever. A pause of half
  that time is already too long.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, Table, delete, select, text

from streams import logs
from streams.database.engine import POSTGRESQL, add_missing, writing
from streams.database.schema import (
    ACTIVITY,
    COUNTED,
    FAILURES,
    POSITIONS,
    PROGRESS,
    READ_MODEL,
    REQUESTS,
    RUNS,
)
from streams.errors import DatabaseError
from streams.read_model import counted
from streams.read_model.position import Position
from streams.settings import Settings
from topology import topics
from topology.topics import TopicPlace

# The tables with the rows of each topic, by its name without the prefix.
_TABLES: Final = {
    topics.RUNS.name: (RUNS,),
    topics.REQUESTS.name: (REQUESTS,),
    topics.REQUEST_PROGRESS.name: (PROGRESS, FAILURES),
}
log = logs.get(__name__)


@dataclass(frozen=True)
class TopicNow:
    """A topic as the brokers have it.

    Attributes:
        id: Its id in hex; deleted and made anew, the topic has another id.
        forgets_after: For how long, in ms, it keeps tombstones; None: for ever.
    """

    id: str
    forgets_after: int | None = None


class Positions:
    """The table `positions`: a row for each partition that was ever read.

    Attributes:
        counted: Up to which offsets `runs` is counted as activity, as it was at the last `start`.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """The positions of the topics that these settings name."""
        self._engine = engine
        prefix = settings.topic_prefix
        self._tables = {prefix + name: tables for name, tables in _TABLES.items()}
        self._runs = settings.topic(topics.RUNS)
        self._kept_ms = int(settings.retention_activity.total_seconds() * 1_000)
        self.counted: dict[TopicPlace, int] = {}

    def start(
        self,
        ends: Mapping[TopicPlace, int],
        found: Mapping[str, TopicNow],
        now: int,
    ) -> dict[TopicPlace, Position]:
        """Where to go on with the partitions of `ends`; a topic may have to begin anew.

        Raises:
            DatabaseError: the database holds rows of other topics.
        """
        with writing(self._engine) as connection:
            self._refuse_others(connection)
            for topic in sorted({topic for topic, _ in ends}):
                before = _rows(connection, topic)
                reason = _worthless(before, ends, found[topic], now)
                if reason is not None:
                    log.warning("A topic is read from its beginning", topic=topic, reason=reason)
                    self._forget(connection, topic)
                _begin(connection, topic, ends, found[topic].id, now)
                if topic == self._runs:
                    ours = {place: end for place, end in ends.items() if place[0] == topic}
                    read = {place: row.position.as_of for place, row in before.items()}
                    self.counted = counted.begin(
                        connection, (topic, found[topic].id), ours, read, now, self._kept_ms
                    )
            return {
                place: row.position
                for topic in found
                for place, row in _rows(connection, topic).items()
                if place in ends
            }

    def clear(self) -> None:
        """Forget everything that was copied."""
        with writing(self._engine) as connection:
            # First, as whoever writes a batch does, so that nobody waits for each other.
            topics_read = set(connection.scalars(select(POSITIONS.c.topic)))
            for topic in sorted(topics_read):
                self._forget_positions(connection, topic)
            for table in READ_MODEL:
                _empty(connection, table)
            if not topics_read <= set(self._tables):
                for table in (ACTIVITY, COUNTED):
                    _empty(connection, table)

    def _refuse_others(self, connection: Connection) -> None:
        others = POSITIONS.c.topic.not_in(self._tables)
        topic = connection.scalar(select(POSITIONS.c.topic).where(others).limit(1))
        if topic is not None:
            raise DatabaseError(
                f"The database holds what was read of {topic}, not of {next(iter(self._tables))}: "
                "set COUNTERMAND_DATABASE_URL or COUNTERMAND_TOPIC_PREFIX right, or run "
                "`countermand read-model rebuild`, which drops it"
            )

    def _forget(self, connection: Connection, topic: str) -> None:
        self._forget_positions(connection, topic)
        for table in self._tables[topic]:
            _empty(connection, table)

    def _forget_positions(self, connection: Connection, topic: str) -> None:
        of_it = delete(POSITIONS).where(POSITIONS.c.topic == topic).returning(POSITIONS)
        forgotten = connection.execute(of_it).all()
        if topic == self._runs:
            counted.remember(connection, forgotten)


@dataclass(frozen=True)
class _Row:
    topic_id: str
    position: Position


def _rows(connection: Connection, topic: str) -> dict[TopicPlace, _Row]:
    rows = connection.execute(select(POSITIONS).where(POSITIONS.c.topic == topic))
    return {
        (row.topic, row.partition): _Row(row.topic_id, Position(row.next_offset, row.as_of))
        for row in rows
    }


def _worthless(
    rows: Mapping[TopicPlace, _Row], ends: Mapping[TopicPlace, int], topic: TopicNow, now: int
) -> str | None:
    """Why the rows of a topic can't be kept; None where they can."""
    if any(row.topic_id != topic.id for row in rows.values()):
        return "it was deleted and made anew"
    for place, row in rows.items():
        if place not in ends:
            continue
        if row.position.next_offset > ends[place]:
            return f"partition {place[1]} ends before what was read"
        if topic.forgets_after and now - row.position.as_of > topic.forgets_after // 2:
            return "it was not read for so long that it may have forgotten removals"
    return None


def _begin(
    connection: Connection, topic: str, ends: Iterable[TopicPlace], topic_id: str, now: int
) -> None:
    """Add positions at the beginning for partitions without one."""
    rows = [
        {"topic": topic, "partition": number, "topic_id": topic_id, "next_offset": 0, "as_of": now}
        for name, number in ends
        if name == topic
    ]
    if rows:
        add_missing(connection, POSITIONS, rows)


def _empty(connection: Connection, table: Table) -> None:
    """Delete all rows of a table at once."""
    if connection.dialect.name == POSTGRESQL:
        connection.execute(text(f"TRUNCATE {table.name}"))
    else:
        connection.execute(delete(table))
