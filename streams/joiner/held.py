"""Which prefixes held rows may lie under: asked three times for each run that registers."""

from typing import Final

from topology import limits

_MASK: Final = limits.HELD_COUNTERS - 1
_FULL: Final = 255

assert limits.HELD_COUNTERS & _MASK == 0, "a power of two"


class HeldPrefixes:
    """Counts held rows by their prefixes, in counters that several prefixes share.

    Its size is fixed, whatever is held. A prefix is counted where its hash says, so run ids, which
    begin with a time, spread like digests; the hash is of this process, and so are the counters.
    """

    __slots__ = ("_counters",)

    def __init__(self) -> None:
        self._counters = bytearray(limits.HELD_COUNTERS)

    def may_hold(self, prefix: bytes) -> bool:
        """Whether there may be a held row under a prefix; False means that there is none.

        True may be wrong: a scan finds nothing then.
        """
        return self._counters[hash(prefix) & _MASK] != 0

    def add(self, prefix: bytes) -> None:
        """Count one more row under a prefix."""
        at = hash(prefix) & _MASK
        if self._counters[at] < _FULL:
            self._counters[at] += 1

    def remove(self, prefix: bytes) -> None:
        """Count one row less; nobody knows how many a full counter missed, so it stays full."""
        at = hash(prefix) & _MASK
        if 0 < self._counters[at] < _FULL:
            self._counters[at] -= 1
