"""The rows of one partition in memory: what `streams.joiner.store.Store` is, but for the disk."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from topology import codec, tables
from topology.tables import Checkpoint, RequestRow


class Batch(NamedTuple):
    """Everything of one transaction."""

    facts: Mapping[bytes, bytes | None]
    derived: Mapping[bytes, bytes | None]
    checkpoint: Checkpoint


class MemoryRows:
    """Sorted rows, written as a store is."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        """Begin with these rows."""
        self.rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._work: dict[bytes, None] = {}  # in the order of their turns
        self._checkpoint: Checkpoint | None = None
        for key, value in (rows or {}).items():
            self._put(key, value)

    def get(self, key: bytes) -> bytes | None:
        """The row under a key."""
        return self.rows.get(key)

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows under a prefix from `start` on, as they are now, in the order of their keys."""
        at = bisect_left(self._keys, start)
        for key in self._keys[at:]:
            if not key.startswith(prefix):
                return
            yield key, self.rows[key]

    def may_hold(self, prefix: bytes) -> bool:
        """Whether a held row lies under this prefix."""
        at = bisect_left(self._keys, prefix)
        return at < len(self._keys) and self._keys[at].startswith(prefix)

    def may_hold_any(self, prefixes: Iterable[bytes]) -> bool:
        """Whether a held row lies under one of some prefixes."""
        return any(map(self.may_hold, prefixes))

    def held_spaces(self) -> frozenset[int]:
        """The spaces that have held rows."""
        return tables.MET_SPACES.intersection(key[0] for key in self.rows)

    def due(self, watermark: int, limit: int) -> list[bytes]:
        """Keys of timers that the watermark has passed, earliest first."""
        begin, end = bisect_left(self._keys, tables.TIMERS), tables.timers_until(watermark)
        return self._keys[begin : min(begin + limit, bisect_left(self._keys, end))]

    def undo_due(self, timers: list[bytes]) -> None:
        """Nothing: a timer is due for as long as its row is there."""

    def work(self) -> list[bytes]:
        """Keys of the work rows, those that had a turn behind the others."""
        return list(self._work)

    def had_turns(self, keys: Iterable[bytes]) -> None:
        """Put these work rows behind all others."""
        for key in keys:
            if key in self._work:
                del self._work[key]
                self._work[key] = None

    def last(self, prefix: bytes) -> bytes:
        """The last key under a prefix; empty if there is none."""
        return max((key for key, _ in self.scan(prefix, prefix)), default=b"")

    def is_work(self, key: bytes) -> bool:
        """Whether there is a work row under a key."""
        return key in self.rows

    def oldest_meeting(self) -> int:
        """The received time of the oldest run with a meeting or a delivery."""
        return tables.oldest_meeting(self._keys)

    def requests(self) -> Mapping[bytes, RequestRow]:
        """The requests that aren't over."""
        scanned = self.scan(tables.REQUESTS, tables.REQUESTS)
        rows = {key: codec.REQUEST_ROWS.decode(row) for key, row in scanned}
        return {key: row for key, row in rows.items() if not row.over}

    def batch(
        self,
        facts: Mapping[bytes, bytes | None],
        derived: Mapping[bytes, bytes | None],
        checkpoint: Checkpoint,
    ) -> Batch:
        """Everything of one transaction."""
        return Batch(facts, derived, checkpoint)

    def write(self, batch: Batch) -> None:
        """Write all of a batch at once."""
        for changes in (batch.facts, batch.derived):
            for key, value in changes.items():
                self._put(key, value)
        self._checkpoint = batch.checkpoint

    def checkpoint(self) -> Checkpoint | None:
        """How far these rows follow the changelog."""
        return self._checkpoint

    def flush(self) -> None:
        """Nothing: there is no disk."""

    def bytes_on_disk(self) -> int:
        """Nothing is on disk."""
        return 0

    def close(self) -> None:
        """Nothing: there is no disk."""

    def _put(self, key: bytes, value: bytes | None) -> None:
        if key[0] in tables.WORK_SPACES:
            self._track_work(key, present=value is not None)
        elif key[:1] == tables.REQUESTS:
            row = None if value is None else codec.REQUEST_ROWS.decode(value)
            self._track_work(key, present=row is not None and row.scanning)
        if value is None:
            if self.rows.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self.rows:
            insort(self._keys, key)
        self.rows[key] = value

    def _track_work(self, key: bytes, *, present: bool) -> None:
        if present:
            self._work.setdefault(key)
        else:
            self._work.pop(key, None)
