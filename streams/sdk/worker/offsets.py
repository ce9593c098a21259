"""How far a reader of a group is: what may be committed, record by record."""


class Offsets:
    """Positions of partitions whose records are worked off in any order.

    A partition's offset to commit is the lowest record that isn't done; a crash repeats from there.
    """

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._open: dict[int, set[int]] = {}
        self._committed: dict[int, int] = {}

    def read(self, partition: int, offset: int, *, is_open: bool) -> None:
        """A record was read; an open one is committed only once it is `done`."""
        self._read[partition] = offset + 1
        if is_open:
            self._open.setdefault(partition, set()).add(offset)

    def done(self, partition: int, offset: int) -> None:
        """Nothing is left to do for a record; one of a partition that went away is nobody's."""
        self._open.get(partition, set()).discard(offset)

    def forget(self, partition: int) -> None:
        """A partition is no longer ours."""
        for part in (self._read, self._open, self._committed):
            part.pop(partition, None)

    def uncommitted(self) -> dict[int, int]:
        """Per partition the offset to commit, where it moved since the last call."""
        moved = {}
        for partition, position in self._read.items():
            offset = min(self._open.get(partition) or (position,))
            if offset != self._committed.get(partition):
                self._committed[partition] = moved[partition] = offset
        return moved
