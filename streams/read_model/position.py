"""How far a partition is copied, and how that changes."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from topology.topics import TopicPlace


class Position(NamedTuple):
    """The next offset to copy of a partition, and the time (ms) up to which all is copied."""

    next_offset: int
    as_of: int


class Move(NamedTuple):
    """A change of a position that is only made if the position is still `before`."""

    before: Position
    after: Position


Moves: TypeAlias = Mapping[TopicPlace, Move]
