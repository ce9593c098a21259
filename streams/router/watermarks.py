"""How far a router is complete, per source: the claims on which every due time rests.

A claim (offset, time) says: all commands of records up to the offset are written, and no record
received before the time is still to come. There are two proofs of a claim:

- The records of a partition are ordered by their times (LogAppendTime): after a record received at
  T no record received before T comes.
- Asked at time t, the leader named its high watermark. Once the records below it are read, all
  others are received after t, less the skew of clocks and a leader's lag (`IDLE_SLACK_MS`).

A claim stays true for ever, whichever router reads the source next. Times never go back.
"""

from msgspec import Struct

from topology import limits


class Claim(Struct, frozen=True):
    """A source is complete up to an offset and a received time (ms)."""

    offset: int
    time: int


class SourceProgress:
    """The claims of one source since it was assigned; there are none before the first read."""

    __slots__ = ("_asked", "_high", "_next", "_time")

    def __init__(self) -> None:
        self._next: int | None = None
        self._time = 0
        self._asked = 0
        self._high: int | None = None

    @property
    def next_offset(self) -> int | None:
        """The offset at which reading goes on; None before the first read."""
        return self._next

    @property
    def time(self) -> int:
        """The received time (ms) of the newest claim."""
        return self._time

    def read(self, offset: int, received: int, now: int) -> None:
        """Note that all records up to `offset`, whose record was received then, are routed.

        A time after `now` is ignored: the clock of a producer (CreateTime) may be ahead, and its
        time would make the records late that others write in the meantime.
        """
        # Around a rebalance some records are read twice.
        self._next = offset + 1 if self._next is None else max(self._next, offset + 1)
        if received <= now:
            self._time = max(self._time, received)

    def reached(self, offset: int) -> None:
        """Note that everything below `offset` was read, also the markers of transactions."""
        if self._next is None or offset > self._next:
            self._next = offset

    def answered(self, asked: int, high: int) -> None:
        """Note that the leader, asked at `asked` (ms of the router's clock), ended at `high`.

        Newer answers are ignored until reading has reached this one: under load the end runs away,
        but a former end is reached at last.
        """
        if self._high is None:
            self._asked, self._high = asked, high

    def claim(self) -> Claim | None:
        """The newest claim; None before the first read."""
        if self._next is None:
            return None
        if self._high is not None and self._next >= self._high:
            self._time = max(self._time, self._asked - limits.IDLE_SLACK_MS)
            self._high = None
        return Claim(self._next - 1, self._time)
