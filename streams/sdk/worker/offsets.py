"""The offsets that a reader of a group may commit."""


class Offsets:
    """Offsets of partitions whose records may be done in any order.

    The offset to commit is that of the first record that isn't done; a crash repeats from there.
    """

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._open: dict[int, set[int]] = {}
        self._committed: dict[int, int] = {}

    def read(self, partition: int, offset: int, *, is_open: bool) -> None:
        """Note that a record was read; an open record must be `done` before it is committed."""
        self._read[partition] = offset + 1
        if is_open:
            self._open.setdefault(partition, set()).add(offset)

    def done(self, partition: int, offset: int) -> None:
        """Note that a record is done; ignored if the partition was forgotten."""
        self._open.get(partition, set()).discard(offset)

    def forget(self, partition: int) -> None:
        """Forget a partition that another reader has now."""
        for part in (self._read, self._open, self._committed):
            part.pop(partition, None)

    def uncommitted(self) -> dict[int, int]:
        """By partition, the offsets to commit that changed since the last call."""
        moved = {}
        for partition, position in self._read.items():
            offset = min(self._open.get(partition) or (position,))
            if offset != self._committed.get(partition):
                self._committed[partition] = moved[partition] = offset
        return moved
