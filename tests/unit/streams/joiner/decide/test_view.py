"""What a transaction keeps of the events that it reads is bounded."""

import gc
import tracemalloc

from streams.joiner.decide.functions import Functions
from streams.joiner.decide.view import Partition, View
from tests.support.rows import MemoryRows
from topology import limits

_MIB = 1024 * 1024


def a_view() -> View:
    """A view of a partition without rows."""
    return View(MemoryRows(), Partition(0, 1), Functions(), 0, 0)


def event(number: int, size: int) -> bytes:
    """An event of `size` bytes, full of objects of the smallest kind."""
    head = b'{"id":"%d","data":[' % number
    body = b",".join([b"{}"] * ((size - len(head)) // 3))
    return head + body + b" " * (size - len(head) - len(body) - 2) + b"]}"


def test_parsed_events_take_bounded_memory() -> None:
    """A slice over many events of small objects keeps a bounded share of them."""
    view, events = a_view(), [event(number, 100_000) for number in range(40)]
    gc.collect()
    tracemalloc.start()
    try:
        for one in events:
            view.parsed(one)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= 25 * _MIB


def test_an_event_that_is_used_again_is_parsed_once() -> None:
    """A cancel event that meets 2,000 runs is parsed once, though their events come between."""
    view = a_view()
    cancel = event(0, limits.EVENT_BYTES)
    kept = view.parsed(cancel)
    for number in range(1, 2_000):
        view.parsed(event(number, 2_000))
        assert view.parsed(cancel) is kept


def test_the_two_largest_events_are_kept_together() -> None:
    """A run's event and a cancel event are parsed once per match, whatever their sizes are."""
    view = a_view()
    one, other = event(1, limits.EVENT_BYTES), event(2, limits.EVENT_BYTES)
    kept = view.parsed(one), view.parsed(other)
    assert view.parsed(one) is kept[0]
    assert view.parsed(other) is kept[1]
