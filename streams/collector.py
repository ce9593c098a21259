"""Keeps Python's garbage collector from what lives long, and from loops that make no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# More objects than a router makes in one round, or a joiner in one transaction.
_COLLECT_AFTER: Final = 200_000


def spare_what_lives() -> None:
    """Look no more at the objects that there are now: they live until the process ends."""
    gc.collect()
    gc.freeze()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect rarely in the block: at the usual threshold this takes a third of the loop's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
