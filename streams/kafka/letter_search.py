"""Looks dead letters up in the topic for calls that must end: a page of the newest, one, a portion.

Kafka is read forwards only. So the newest letters come from the ends of all partitions, in rounds:
each partition that has no letter at hand gets its last few offsets read, then those before them.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from streams.kafka.dead_letters import Letter, Wanted, letter_of
from streams.kafka.ranges import Range, RangeReader, Ranges

T = TypeVar("T")
# How many offsets the first round reads, over all partitions; each partition gets one at least.
_FIRST_ROUND: Final = 64
# A round that had less than this is followed by one twice as deep.
_SMALL_ROUND_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may take: it ends after the round, or the letter, that uses one of these up."""

    letters: int = 10_000
    bytes: int = 16 * 1024 * 1024


USUAL: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Letters of one call.

    Attributes:
        letters: Those that are wanted.
        begun: What was to be looked at, by partition; None where places were given instead.
        left: What is left of it; empty where nothing is.
        scanned: How many letters were looked at.
    """

    letters: Sequence[T]
    begun: Ranges | None
    left: Ranges
    scanned: int


def ranges_of(reader: RangeReader, wanted: Wanted, cursor: Ranges | None) -> Ranges:
    """The ranges that a call looks at: what is `left` of an earlier one, or all there is now."""
    ranges = reader.bounds()
    if cursor is not None:
        ranges = {one: _both(ranges[one], cursor.get(one, (0, 0))) for one in ranges}
    elif wanted.after is not None:
        ranges = reader.since(wanted.after + 1, ranges)
    return _full(ranges)


def one_letter(reader: RangeReader, partition: int, offset: int) -> Letter | None:
    """The letter at a place; None if none is there, or not any longer.

    Raises:
        UnreachableError: Kafka doesn't send it in time.
    """
    begin, end = reader.bounds({partition}).get(partition, (0, 0))
    if not begin <= offset < end:
        return None
    found = [letter_of(record) for record in reader.read({partition: (offset, offset + 1)})]
    if reader.left:
        raise reader.too_slow()
    return found[0] if found else None


def portion(  # noqa: PLR0913  # each says another thing about the portion
    reader: RangeReader,
    wanted: Wanted,
    ranges: Ranges,
    most: int,
    *,
    show: Callable[[Letter], T],
    bounds: Bounds = USUAL,
) -> Found[T]:
    """At most `most` letters of these ranges, each partition's oldest first.

    `show` makes of each what is kept of it.

    Raises:
        UnreachableError: Kafka sends nothing in time.
    """
    found: list[T] = []
    scanned = size = 0
    for letter in map(letter_of, reader.read(ranges)):
        scanned, size = scanned + 1, size + letter.size
        if wanted.holds(letter):
            found.append(show(letter))
        if len(found) == most or scanned == bounds.letters or size >= bounds.bytes:
            break
    if reader.left == ranges and ranges:
        raise reader.too_slow()
    return Found(found, ranges, reader.left, scanned)


def newest(  # noqa: PLR0913  # each says another thing about the page
    reader: RangeReader,
    wanted: Wanted,
    ranges: Ranges,
    limit: int,
    *,
    show: Callable[[Letter], T],
    bounds: Bounds = USUAL,
) -> Found[T]:
    """A page of the newest letters of these ranges; `show` makes of each what is kept of it.

    Raises:
        UnreachableError: Kafka doesn't send so much in time that a next call would get on.
    """
    piles = _Piles(reader, wanted, ranges, show)
    page: list[T] = []
    while len(page) < limit:
        if piles.bare:
            if piles.is_spent(bounds) or not piles.dig(bounds.letters - piles.scanned):
                break
        elif piles.hold_any:
            page.append(piles.pop())
        else:
            break
    if piles.left == ranges and ranges:
        raise reader.too_slow()
    return Found(page, ranges, piles.left, piles.scanned)


@dataclass(slots=True)
class _Pile(Generic[T]):
    """The letters of a partition that are at hand, the newest on top; `end`: of what lies below."""

    begin: int
    end: int
    letters: list[tuple[int, int, T]] = field(default_factory=list)

    @property
    def left(self) -> Range:
        """What is neither shown nor passed over."""
        return (self.begin, self.letters[-1][1] + 1 if self.letters else self.end)


class _Piles(Generic[T]):
    """The piles of all partitions."""

    def __init__(
        self, reader: RangeReader, wanted: Wanted, ranges: Ranges, show: Callable[[Letter], T]
    ) -> None:
        self.scanned = 0
        self._bytes = 0
        self._reader = reader
        self._wanted = wanted
        self._show = show
        self._piles: dict[int, _Pile[T]] = {one: _Pile(*ranges[one]) for one in ranges}
        self._depth = max(1, _FIRST_ROUND // max(1, len(ranges)))

    @property
    def bare(self) -> list[int]:
        """The partitions that have no letter at hand, but may have one below."""
        piles = self._piles.items()
        return [one for one, pile in piles if not pile.letters and pile.begin < pile.end]

    @property
    def hold_any(self) -> bool:
        """Whether a letter is at hand."""
        return any(pile.letters for pile in self._piles.values())

    @property
    def left(self) -> Ranges:
        """What is left to look at."""
        return _full({one: pile.left for one, pile in self._piles.items()})

    def is_spent(self, bounds: Bounds) -> bool:
        """Whether the call has taken what it may."""
        return self.scanned >= bounds.letters or self._bytes >= bounds.bytes

    def pop(self) -> T:
        """The newest letter at hand, which is the newest of all where no pile is bare."""
        held = [pile for pile in self._piles.values() if pile.letters]
        newest_first = max(held, key=lambda pile: pile.letters[-1][0])
        return newest_first.letters.pop()[2]

    def dig(self, most: int) -> bool:
        """Read what lies below the bare piles, `most` offsets in all; whether there was time."""
        bare = self.bare
        depth = max(1, min(self._depth, most // len(bare)))
        ranges = {}
        for one in bare:
            pile = self._piles[one]
            ranges[one] = (max(pile.begin, pile.end - depth), pile.end)
        before = self._bytes
        found = self._read(ranges)
        for one, (begin, _) in ranges.items():
            if one not in self._reader.left:
                self._piles[one].letters, self._piles[one].end = found[one], begin
        if self._bytes - before < _SMALL_ROUND_BYTES:
            self._depth *= 2
        return not self._reader.left

    def _read(self, ranges: Ranges) -> Mapping[int, list[tuple[int, int, T]]]:
        found = defaultdict(list)
        for letter in map(letter_of, self._reader.read(ranges)):
            self.scanned += 1
            self._bytes += letter.size
            if self._wanted.holds(letter):
                held = (letter.time, letter.offset, self._show(letter))
                found[letter.partition].append(held)
        return found


def _both(one: Range, other: Range) -> Range:
    """What lies in both ranges."""
    return (max(one[0], other[0]), min(one[1], other[1]))


def _full(ranges: Ranges) -> Ranges:
    """The ranges that hold anything."""
    return {one: (begin, end) for one, (begin, end) in ranges.items() if begin < end}
