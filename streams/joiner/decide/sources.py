"""How far the sources are applied in one partition, and the watermark that follows from them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from topology import codec, limits, tables
from topology.records import Complete, Topic
from topology.tables import SourceRow

# The id of a topic that routers read, and one of its partitions.
Source: TypeAlias = tuple[bytes, int]


@dataclass(slots=True)
class _Applied:
    """How far one source is applied: a `SourceRow` that changes."""

    offset: int
    time: int
    changed: bool = False


class Sources:
    """The rows of sources as far as one transaction has come; read when they are first needed."""

    def __init__(self, get: Callable[[bytes], bytes | None]) -> None:
        """The sources whose rows `get` returns by their keys."""
        self._get = get
        self._known: dict[Source, _Applied] = {}

    def advance(self, topic_id: bytes, partition: int, offset: int) -> bool:
        """Note that a source's record is applied; False if it was applied before."""
        applied = self._known.get((topic_id, partition)) or self._applied(topic_id, partition)
        if offset <= applied.offset:
            return False
        applied.offset = offset
        applied.changed = True
        return True

    def is_applied(self, topic_id: bytes, partition: int, offset: int) -> bool:
        """Whether a source's record was applied before."""
        return offset <= self._applied(topic_id, partition).offset

    def complete(self, topics: tuple[Topic, ...], reports: tuple[Complete, ...]) -> None:
        """Note up to which offsets and times a router has nothing more to send."""
        for report in reports:
            applied = self._applied(topics[report.topic].id, report.partition)
            if report.offset > applied.offset or report.time > applied.time:
                applied.offset = max(applied.offset, report.offset)
                applied.time = max(applied.time, report.time)
                applied.changed = True

    def complete_until(self, sources: frozenset[Source]) -> int:
        """The time (ms) up to which all of some sources are complete; -1: not all have said so."""
        return min((self._applied(*source).time for source in sources), default=-1)

    def changed_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """The rows of all sources that advanced, by their keys."""
        for source, applied in self._known.items():
            if applied.changed:
                row = SourceRow(applied.offset, applied.time)
                yield tables.source_key(*source), codec.SOURCE_ROWS.encode(row)

    def _applied(self, topic_id: bytes, partition: int) -> _Applied:
        applied = self._known.get((topic_id, partition))
        if applied is None:
            value = self._get(tables.source_key(topic_id, partition))
            row = codec.SOURCE_ROWS.decode(value) if value is not None else SourceRow()
            applied = self._known[topic_id, partition] = _Applied(row.offset, row.time)
        return applied


def outlived(rows: Iterable[tuple[bytes, bytes]], watermark: int) -> dict[bytes, bytes]:
    """The topic ids of sources by the keys of their `rows`, of which no record is kept any more.

    Such a row is needed only if its topic is still there and keeps its records for longer than
    inputs usually do: routers may be told to read that topic once more.
    """
    return {
        key: key[tables.SOURCE_TOPIC]
        for key, value in rows
        if codec.SOURCE_ROWS.decode(value).time + limits.INPUT_KEPT_MS < watermark
    }
