"""Repeats of a cancel event, for rules with `dedupe`: they cancel what the first could (S36).

The first is the earliest that this partition, which is that of the match key, has applied. A row
keeps it, beyond the time in which there may be a repeat.
"""

from collections.abc import Iterator

import msgspec

from streams.functions.compiled import CompiledRule
from streams.joiner.decide.view import View
from topology import codec, held_rows
from topology.held_rows import FirstCancel
from topology.records import CancelEvent, FirstOccurrence, Match


def looked_up(view: View, event: CancelEvent, match: Match) -> CancelEvent:
    """A cancel event with its first occurrences under a match key; noted if it is one itself.

    Once more is no harm: an event that was noted finds itself.
    """
    if not match.dedupes or not event.identity:
        return event
    prefix = held_rows.first_cancel_prefix(match.key, event.identity)
    noted = dict(_noted(view, prefix))
    known = [first for row in noted.values() for first in row.firsts]
    firsts = tuple(_first(event, dedupe_ms, known) for dedupe_ms in match.dedupes)
    _note(view, prefix, noted, FirstCancel(firsts))
    repeated = tuple(first for first in firsts if first.position != event.position)
    if not repeated:
        return event
    view.count("repeated_cancels")
    return msgspec.structs.replace(event, firsts=repeated)


def counted(event: CancelEvent, rule: CompiledRule) -> CancelEvent:
    """A cancel event as a rule counts it: a repeat as if it had come with its first occurrence."""
    for first in event.firsts:
        if first.dedupe_ms == rule.rule.dedupe_ms:
            return msgspec.structs.replace(
                event, received=first.received, position=first.position, triggers=first.triggers
            )
    return event


def _first(event: CancelEvent, dedupe_ms: int, known: list[FirstOccurrence]) -> FirstOccurrence:
    """The first occurrence for rules of one dedupe time: one that is known, or the event.

    What is known for that time counts before what is known for others, which a rule has had that
    was changed.
    """
    own = FirstOccurrence(dedupe_ms, event.received, event.position, event.triggers)
    mine = [first for first in known if first.dedupe_ms == dedupe_ms]
    for first in sorted(mine or known, key=_place):
        if abs(event.received - first.received) < dedupe_ms:
            return min(own, msgspec.structs.replace(first, dedupe_ms=dedupe_ms), key=_place)
    return own


def _noted(view: View, prefix: bytes) -> Iterator[tuple[bytes, FirstCancel]]:
    # Few rules have a `dedupe`, and their rows are many: no index of prefixes would know of them.
    for key, value in view.scan(prefix):
        row = codec.HELD_ROWS.decode(value)
        assert isinstance(row, FirstCancel)
        yield key, row


def _note(view: View, prefix: bytes, noted: dict[bytes, FirstCancel], row: FirstCancel) -> None:
    key = held_rows.first_cancel_key(prefix, row)
    if noted == {key: row}:
        return
    for old in noted:
        view.put(old, None)
    if not view.passed(held_rows.held_until(key)):
        view.put(key, codec.HELD_ROWS.encode(row))


def _place(first: FirstOccurrence) -> tuple[int, str, int, int]:
    position = first.position
    return first.received, position.topic, position.partition, position.offset
