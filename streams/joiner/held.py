"""Which prefixes held rows may lie under: asked three times for each run that registers."""

from collections.abc import Iterable
from typing import Final

from topology import limits
from topology.tables import MET_SPACES

_MASK: Final = limits.HELD_COUNTERS - 1
_FULL: Final = 255

assert limits.HELD_COUNTERS & _MASK == 0, "a power of two"


class HeldPrefixes:
    """Counts held rows by their prefixes, in counters that several prefixes share.

    Its size is fixed, whatever is held. A prefix is counted where its hash says, so run ids, which
    begin with a time, spread like digests; the hash is of this process, and so are the counters.
    """

    __slots__ = ("_counters", "_spaces")

    def __init__(self) -> None:
        self._counters = bytearray(limits.HELD_COUNTERS)
        self._spaces = [0] * 256  # the number of rows by the first byte of their keys

    def may_hold(self, prefix: bytes) -> bool:
        """Whether there may be a held row under a prefix; False means that there is none.

        True may be wrong: a scan finds nothing then.
        """
        return self._counters[hash(prefix) & _MASK] != 0

    def may_hold_any(self, prefixes: Iterable[bytes]) -> bool:
        """Whether there may be a held row under one of some prefixes; see `may_hold`."""
        counters, spaces = self._counters, self._spaces
        for prefix in prefixes:  # noqa: SIM110  # `any` takes twice as long
            if spaces[prefix[0]] and counters[hash(prefix) & _MASK]:
                return True
        return False

    def spaces(self) -> frozenset[int]:
        """The spaces that have held rows."""
        return frozenset(space for space in MET_SPACES if self._spaces[space])

    def add(self, prefix: bytes) -> None:
        """Count one more row under a prefix."""
        self._spaces[prefix[0]] += 1
        at = hash(prefix) & _MASK
        if self._counters[at] < _FULL:
            self._counters[at] += 1

    def remove(self, prefix: bytes) -> None:
        """Count one row less; nobody knows how many a full counter missed, so it stays full."""
        self._spaces[prefix[0]] -= 1
        at = hash(prefix) & _MASK
        if 0 < self._counters[at] < _FULL:
            self._counters[at] -= 1
