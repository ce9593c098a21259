"""The partition that decides."""

from msgspec import Struct


class Partition(Struct, frozen=True):
    """Which partition (`number`) of how many (`of`), and what its cancelled events are called."""

    number: int
    of: int
    cancelled_name: str = "function.cancelled"
