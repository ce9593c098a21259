"""An inbox holds a bounded number of bytes, of each kind of record for itself."""

from collections.abc import Callable

import pytest

from streams.joiner.inbox import Inbox, Record
from topology import limits

_MIB = 1024 * 1024
# One value for all records, so that a test needs the memory of one.
_LARGE = bytes(_MIB)


def forwarded(inbox: Inbox, value: bytes = _LARGE) -> bool:
    """Whether a record of `forwards` finds room at once."""
    return inbox.put_forward(Record(0, value), 0)


def commanded(inbox: Inbox, value: bytes = _LARGE) -> bool:
    """Whether a record of `commands` finds room."""
    return inbox.put_command(Record(0, value))


def filled(put: Callable[[Inbox], bool]) -> Inbox:
    """An inbox with as many records of one kind as it takes."""
    inbox = Inbox()
    while put(inbox):
        assert inbox.bytes <= 1_000 * _MIB
    return inbox


def test_large_forwards_are_bounded_by_bytes() -> None:
    """Forwarded commands that wait take no more memory than is stated."""
    assert filled(forwarded).bytes == limits.QUEUE_FORWARD_BYTES


def test_commands_are_bounded_by_bytes() -> None:
    """Command batches that wait take no more memory than is stated."""
    assert filled(commanded).bytes == limits.QUEUE_BYTES


@pytest.mark.parametrize(("full_of", "other"), [(forwarded, commanded), (commanded, forwarded)])
def test_neither_kind_keeps_the_other_out(
    full_of: Callable[[Inbox], bool], other: Callable[[Inbox], bool]
) -> None:
    """A queue that is full leaves the other one its share."""
    assert other(filled(full_of))


@pytest.mark.parametrize("put", [forwarded, commanded])
def test_an_empty_queue_takes_a_record_of_any_size(
    put: Callable[[Inbox, bytes], bool],
) -> None:
    """A record that is larger than the share passes alone."""
    inbox, huge = Inbox(), bytes(limits.QUEUE_BYTES + 1)
    assert put(inbox, huge)
    assert not put(inbox, b"")
    inbox.take(1, 0)
    assert inbox.bytes == 0
    assert put(inbox, huge)


@pytest.mark.parametrize("put", [forwarded, commanded])
def test_records_are_bounded_by_number(put: Callable[[Inbox, bytes], bool]) -> None:
    """Small records, empty ones too, don't pile up either."""
    inbox = Inbox()
    assert sum(put(inbox, b"") for _ in range(2 * limits.QUEUE_BATCHES)) == limits.QUEUE_BATCHES


def test_forwards_that_are_taken_make_room() -> None:
    """What was taken counts no more."""
    inbox = filled(forwarded)
    _, taken = inbox.take(1_000, 0)
    assert inbox.bytes == limits.QUEUE_FORWARD_BYTES - len(taken) * _MIB
    assert forwarded(inbox)


def test_forwards_dont_hide_that_commands_have_room() -> None:
    """Commands that were refused come again, whatever waits in `forwards`."""
    assert filled(forwarded).has_room()
    assert not filled(commanded).has_room()


def test_a_closed_inbox_drops_what_comes() -> None:
    """A life that ends keeps no record in memory, and lets nobody wait."""
    inbox = filled(forwarded)
    inbox.close()
    assert inbox.closed
    assert not inbox.put_forward(Record(0, _LARGE), 3_600)
    assert not commanded(inbox)
    assert (inbox.bytes, inbox.take(1, 3_600)) == (0, ([], []))
