"""Where a command comes from."""

from msgspec import Struct

from topology.records import Position


class Context(Struct, frozen=True):
    """The input record of a command: where it lies, when it was received (ms), its event's JSON."""

    position: Position
    received: int
    event: bytes
