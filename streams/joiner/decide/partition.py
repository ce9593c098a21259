"""The partition that decides."""

from msgspec import Struct

from topology import limits


class Partition(Struct, frozen=True):
    """Which partition (`number`) of how many (`of`), and what its processor was told.

    `cancelled_name` is the name of its cancelled events; `slice_decisions` bounds a slice.
    """

    number: int
    of: int
    cancelled_name: str = "function.cancelled"
    slice_decisions: int = limits.SLICE_DECISIONS
