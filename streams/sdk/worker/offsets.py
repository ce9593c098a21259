"""The offsets that a reader of a group may commit, and what it notes beside them: pure.

A record that only other members can handle, because they know its name, doesn't hold the offset.
Where the first such record of each name lies is noted in the commit's metadata: a member that gets
the partition and knows the name begins there.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

# Stands for every name, where a note would have too many.
ANY: Final = "*"
# Brokers take 4,096 by default.
_NOTE_BYTES: Final = 3_000
_decode: Final = msgspec.json.Decoder(dict[str, int]).decode


class Offsets:
    """Offsets of partitions whose records may be done in any order.

    The offset to commit is that of the first record that isn't done; a crash repeats from there.
    """

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._open: dict[int, set[int]] = {}
        self._left: dict[int, dict[str, int]] = {}
        self._committed: dict[int, int] = {}

    def begin(self, partition: int, left: Mapping[str, int]) -> None:
        """Take a partition over; `left`: by name the first record that was left to others."""
        self._left[partition] = dict(left)

    def read(self, partition: int, offset: int, *, is_open: bool) -> None:
        """Note that a record was read; an open record must be `done` before it is committed."""
        self._read[partition] = offset + 1
        if is_open:
            self._open.setdefault(partition, set()).add(offset)

    def leave(self, partition: int, offset: int, name: str) -> None:
        """Note that a record that was read is left to members that know `name`."""
        left = self._left.setdefault(partition, {})
        if name in left or ANY in left:
            return
        left[name] = offset
        if len(_encoded(left)) > _NOTE_BYTES:
            self._left[partition] = {ANY: min(left.values())}

    def done(self, partition: int, offset: int) -> None:
        """Note that a record is done; ignored if the partition was forgotten."""
        self._open.get(partition, set()).discard(offset)

    def forget(self, partition: int) -> None:
        """Forget a partition that another reader has now."""
        for part in (self._read, self._open, self._left, self._committed):
            part.pop(partition, None)

    def uncommitted(self) -> dict[int, int]:
        """By partition, the offsets to commit that changed since the last call."""
        moved = {}
        for partition, position in self._read.items():
            offset = min(self._open.get(partition) or (position,))
            if offset != self._committed.get(partition):
                self._committed[partition] = moved[partition] = offset
        return moved

    def note(self, partition: int) -> str:
        """The metadata to commit with a partition's offset; `begins` reads it."""
        left = self._left.get(partition)
        return _encoded(left).decode() if left else ""


def begins(
    offset: int, note: str | None, knows: Callable[[str], bool]
) -> tuple[int, dict[str, int]]:
    """Where a member that knows some names begins, and what it leaves to others as before.

    `offset` is the committed offset and `note` its metadata; what is no note says nothing.
    """
    try:
        left = _decode(note or "{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        left = {}
    mine = {name: at for name, at in left.items() if at >= 0 and (name == ANY or knows(name))}
    others = {name: at for name, at in left.items() if at >= 0 and name not in mine}
    return min([offset, *mine.values()]), others


def _encoded(left: Mapping[str, int]) -> bytes:
    return msgspec.json.encode(left)
