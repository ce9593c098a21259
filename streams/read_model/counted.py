"""Keeps up to where the changes of runs are counted, so that nothing counts twice.

Rows of `activity` change in one transaction with the positions, so where a partition is read to, it
is counted to. When positions are forgotten, the table `counted` keeps that: what is read once more
isn't counted once more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from streams.database.activity import EVERY_FUNCTION, INCOMPLETE
from streams.database.engine import add_missing
from streams.database.schema import ACTIVITY, COUNTED
from streams.read_model.position import Moves
from topology.limits import MINUTE_MS, UNCOMPACTED_MS
from topology.topics import TopicPlace


def remember(connection: Connection, forgotten: Sequence[Row[Any]]) -> None:
    """Keep up to where is counted from rows of `positions` that were deleted."""
    for row in forgotten:
        before = _rows(connection, row.topic).get((row.topic, row.partition))
        to = max(row.next_offset, _counted_to(before, row.topic_id))
        _set(connection, (row.topic, row.partition), row.topic_id, to, row.as_of)


def begin(  # noqa: PLR0913, PLR0917  # what is known of a topic
    connection: Connection,
    topic_and_id: tuple[str, str],
    ends: Mapping[TopicPlace, int],
    read: Mapping[TopicPlace, int],
    now: int,
    kept_ms: int,
) -> dict[TopicPlace, int]:
    """Up to which offset each partition of `runs` is counted that is to be read now.

    `ends` are the partitions' ends, `read` the times (ms) up to which they were read. Minutes of
    which changes may be missing are marked, as far back as `activity` is kept.
    """
    topic, topic_id = topic_and_id
    known = _rows(connection, topic)
    counted: dict[TopicPlace, int] = {}
    missing_from = now
    for place, end in ends.items():
        row = known.get(place)
        to = counted[place] = min(_counted_to(row, topic_id), end)
        if row is None or (row.topic_id, row.next_offset) != (topic_id, to):
            _set(connection, place, topic_id, to, now)
        if end:
            as_of = 0 if row is None else max(row.as_of, read.get(place, 0))
            missing_from = min(missing_from, as_of)
    if now - missing_from > UNCOMPACTED_MS:
        minutes = _minutes(max(missing_from, now - kept_ms), now)
        mark = {"function_id": EVERY_FUNCTION, "kind": INCOMPLETE, "count": 1}
        add_missing(connection, ACTIVITY, [mark | {"minute": minute} for minute in minutes])
    return counted


def doubtful(moves: Moves, counted: Mapping[TopicPlace, int], now: int) -> Iterator[int]:
    """The minutes of which changes may be missing if the records between these positions are read.

    That is so if they were written long ago: Kafka may have compacted some away meanwhile.
    """
    for place, (before, after) in moves.items():
        old = max(before.next_offset, counted.get(place, after.next_offset))
        if after.next_offset > old and now - before.as_of > UNCOMPACTED_MS:
            yield from _minutes(before.as_of, after.as_of)


def _counted_to(row: Row[Any] | None, topic_id: str) -> int:
    """Up to which offset of a topic is counted, if the row is about that topic."""
    return row.next_offset if row is not None and row.topic_id == topic_id else 0


def _rows(connection: Connection, topic: str) -> dict[TopicPlace, Row[Any]]:
    rows = connection.execute(select(COUNTED).where(COUNTED.c.topic == topic))
    return {(row.topic, row.partition): row for row in rows}


def _set(connection: Connection, place: TopicPlace, topic_id: str, to: int, as_of: int) -> None:
    key = {"topic": place[0], "partition": place[1]}
    connection.execute(delete(COUNTED).filter_by(**key))
    values = key | {"topic_id": topic_id, "next_offset": to, "as_of": as_of}
    connection.execute(insert(COUNTED), [values])


def _minutes(since: int, until: int) -> range:
    """The minutes of changes that were written then; some changed a little earlier."""
    first = max(0, since - UNCOMPACTED_MS)
    return range(first - first % MINUTE_MS, until + 1, MINUTE_MS)
