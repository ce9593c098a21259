"""How far a router is complete, per source: the claims on which every due time rests.

A claim (offset, time) says: all that the source has up to the offset is written, and no record
received before the time is still to come. Two facts prove one:

- records of a partition lie in the order of their times (LogAppendTime), so after one received at
  T none received before T comes;
- what is below the high watermark that the leader named when asked at t was all that it had; once
  it is read, whatever still comes is received after t, less the skew of clocks and a leader's lag
  (`IDLE_SLACK_MS`).

A claim stays true for ever, whoever reads the source next. Times never go back.
"""

from msgspec import Struct

from topology import limits


class Claim(Struct, frozen=True):
    """A source is complete up to an offset and a received time."""

    offset: int
    time: int


class SourceProgress:
    """The claims of one source since it was assigned; nothing is known until something was read."""

    __slots__ = ("_asked", "_high", "_next", "_time")

    def __init__(self) -> None:
        self._next: int | None = None
        self._time = 0
        self._asked = 0
        self._high: int | None = None

    @property
    def next_offset(self) -> int | None:
        """Where reading goes on; None before anything was read."""
        return self._next

    @property
    def time(self) -> int:
        """The received time of the newest claim."""
        return self._time

    def read(self, offset: int, received: int, now: int) -> None:
        """All records up to `offset` were read and routed; this one was received at `received`.

        A producer's clock may be ahead (CreateTime): taken for what it says, it would make what
        others wrote in the meantime late, so such a time says nothing.
        """
        # Around a rebalance some are read twice.
        self._next = offset + 1 if self._next is None else max(self._next, offset + 1)
        if received <= now:
            self._time = max(self._time, received)

    def reached(self, offset: int) -> None:
        """All below `offset` was read: where a consumer sees the end, past transaction markers."""
        if self._next is None or offset > self._next:
            self._next = offset

    def answered(self, asked: int, high: int) -> None:
        """The leader, asked at `asked` of the router's clock, had records up to below `high`.

        An answer that is not reached yet is kept and newer ones are ignored: under load the end
        runs away, but what was the end once is reached at last.
        """
        if self._high is None:
            self._asked, self._high = asked, high

    def claim(self) -> Claim | None:
        """What is known so far; None where nothing is."""
        if self._next is None:
            return None
        if self._high is not None and self._next >= self._high:
            self._time = max(self._time, self._asked - limits.IDLE_SLACK_MS)
            self._high = None
        return Claim(self._next - 1, self._time)
