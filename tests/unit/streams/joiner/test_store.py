"""What a store keeps in memory beside RocksDB is bounded, however much is held."""

import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import pytest

from streams.joiner.decide.functions import Functions
from streams.joiner.decide.view import Partition, View
from streams.joiner.held import HeldPrefixes
from streams.joiner.store import Memory, Store
from topology import limits, tables
from topology.tables import Checkpoint

_MIB = 1024 * 1024
_NOWHERE = Checkpoint(bytes(16), 0, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path, Memory(16))
    yield opened
    opened.close()


@contextmanager
def traced() -> Iterator[None]:
    """Count the bytes that Python allocates."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def prefix(number: int) -> bytes:
    """What the keys of cancel events held under one match key begin with."""
    return tables.HELD_CANCELS + blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


def put(store: Store, numbers: range, value: bytes | None) -> None:
    """Write a held row for each of some match keys, or delete it."""
    rows = {prefix(number) + bytes(36): value for number in numbers}
    store.write(store.batch(rows, {}, _NOWHERE))


def test_held_rows_take_no_memory_of_their_own(store: Store) -> None:
    """The index of held rows is as large with 30,000 prefixes as with none (memory budget)."""
    put(store, range(10), b"held")
    with traced():
        before, _ = tracemalloc.get_traced_memory()
        for first in range(0, 30_000, 1_000):
            put(store, range(first, first + 1_000), b"held")
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    assert grown < _MIB // 4
    assert all(store.may_hold(prefix(number)) for number in range(30_000))


def test_a_start_reads_no_values_of_held_rows(tmp_path: Path) -> None:
    """A held row may have an event of half a MiB, and there may be millions of them."""
    store = Store(tmp_path, Memory(16))
    put(store, range(4), bytes(16 * _MIB))
    store.close()
    with traced():
        store = Store(tmp_path, Memory(16))
        _, peak = tracemalloc.get_traced_memory()
    assert all(store.may_hold(prefix(number)) for number in range(4))
    store.close()
    assert peak < 8 * _MIB


def test_rows_that_are_held_no_more_are_not_looked_for(store: Store) -> None:
    """A row that is written twice is one row; once it is deleted, no scan looks for it."""
    put(store, range(1_000), b"held")
    put(store, range(1_000), b"held again")
    put(store, range(1_000), None)
    put(store, range(1_000), None)
    assert not any(store.may_hold(prefix(number)) for number in range(1_000))


def test_few_look_ups_are_in_vain() -> None:
    """While 100,000 prefixes are held, most others are known to be free without a scan."""
    held = HeldPrefixes()
    for number in range(100_000):
        held.add(prefix(number))
    others = range(100_000, 110_000)
    assert sum(held.may_hold(prefix(number)) for number in others) < len(others) // 5
    assert all(held.may_hold(prefix(number)) for number in range(100_000))


def test_a_look_up_in_vain_finds_nothing(store: Store) -> None:
    """Where another prefix shares the counter, a scan says that nothing is held."""
    number = limits.HELD_COUNTERS // 20
    put(store, range(number), b"held")
    view = View(store, Partition(0, 1), Functions(), 0, 0)
    others = [prefix(other) for other in range(number, 2 * number)]
    assert any(view.may_hold(other) for other in others)
    assert not any(list(view.held(other)) for other in others)


def test_a_full_counter_never_says_that_nothing_is_held() -> None:
    """More rows than a counter can count: it stays full, since nobody knows when the last goes."""
    held = HeldPrefixes()
    for _ in range(1_000):
        held.add(prefix(0))
    for _ in range(1_000):
        held.remove(prefix(0))
        assert held.may_hold(prefix(0))


def test_work_rows_have_their_turns_in_the_order_in_which_they_came(store: Store) -> None:
    """A row that had its turn is behind all others, whatever its key; one that is done is gone."""
    first, second, third = (tables.MEETINGS + bytes([number]) * 16 for number in (9, 5, 1))
    for key in (first, second, third):
        store.write(store.batch({key: b"work"}, {}, _NOWHERE))
    assert store.work() == [first, second, third]
    store.had_turns([first])
    assert store.work() == [second, third, first]
    store.write(store.batch({second: None, third: b"more"}, {}, _NOWHERE))
    store.had_turns([second, third])
    assert store.work() == [first, third]
    assert not store.is_work(second)


def test_the_last_key_under_a_prefix_is_found(store: Store) -> None:
    """Also where other prefixes follow, and where there is none."""
    put(store, range(3), b"held")
    assert store.last(prefix(1)).startswith(prefix(1))
    assert store.last(prefix(7)) == b""
