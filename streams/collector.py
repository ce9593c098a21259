"""The garbage collector, kept out of loops that make many objects and no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# More objects than one round of a router, or one transaction of a joiner, makes.
_COLLECT_AFTER: Final = 200_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect seldom: at its usual threshold the collector takes a third of a loop's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
