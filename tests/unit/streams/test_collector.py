"""What Python's garbage collector is kept from."""

import gc

from streams.collector import spare_what_lives


def test_what_lives_is_looked_at_no_more() -> None:
    """What was there isn't walked again, what comes later is."""
    known = [object()]
    spare_what_lives()
    try:
        later = [object()]
        walked = {id(found) for found in gc.get_objects()}
        assert id(known) not in walked
        assert id(later) in walked
    finally:
        gc.unfreeze()
