"""Keys of the joiner's rows lie in the order in which they are looked for."""

from topology import tables

EVENT = b"e" * 16
HOME = bytes(16)


def run_id(received: int) -> bytes:
    """A run received at a time (ms)."""
    return received.to_bytes(6, "big") + b"h" * 10


def test_the_newest_unfinished_run_of_an_event_comes_first() -> None:
    """Then older ones, and only then what tells that the event has runs at all."""
    received = (0, 255, 256, 1_700_000_000_000, (1 << 48) - 1)
    unfinished = [tables.unfinished_key(EVENT, run_id(at)) for at in received]

    rows = sorted([tables.occurrences_key(EVENT, HOME), *unfinished])

    found = [tables.unfinished_run(key) for key in rows]
    assert found == [*(run_id(at) for at in reversed(received)), None]
    assert all(key.startswith(tables.by_event_prefix(EVENT)) for key in rows)
    assert rows[0][tables.PREFIX] == tables.by_event_prefix(EVENT)
