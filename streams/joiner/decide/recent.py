"""Keeps what was made from bytes, as long as it is used and within an allowance of such bytes."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values that were used last, made from at most `most_bytes` in all.

    The newest stays whatever its size, since it is in use.
    """

    __slots__ = ("_bytes", "_kept", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """The size of what all kept values were made from."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """The value under a key, which is the newest now; None if it isn't kept."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, key: K, value: V, size: int) -> V:
        """Keep a value that isn't kept yet, made from `size` bytes; the oldest make room for it."""
        assert key not in self._kept
        self._kept[key] = value, size
        self._bytes += size
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed
        return value
