"""Repeats of a cancel event, for rules with `dedupe`: they cancel what the first could (S36).

The first is the earliest that this partition, which is that of the match key, has applied. A row
keeps it until the watermark has passed all times at which there may be a repeat.
"""

import msgspec

from streams.functions.compiled import CompiledRule
from streams.joiner.decide.view import View
from topology import codec, held_rows
from topology.held_rows import FirstCancel
from topology.records import CancelEvent, FirstOccurrence, Match, Position


def looked_up(view: View, event: CancelEvent, match: Match) -> CancelEvent:
    """A cancel event with its first occurrences under a match key; noted if it is one itself."""
    if not match.dedupes or not event.identity:
        return event
    firsts = []
    for dedupe_ms in match.dedupes:
        first = _first(view, event, match.key, dedupe_ms)
        if first is not None:
            firsts.append(FirstOccurrence(dedupe_ms, first.received, first.position))
    if not firsts:
        return event
    view.count("repeated_cancels")
    return msgspec.structs.replace(event, firsts=tuple(firsts))


def counted(event: CancelEvent, rule: CompiledRule) -> CancelEvent:
    """A cancel event as a rule counts it: a repeat as if it had come with its first occurrence."""
    for first in event.firsts:
        if first.dedupe_ms == rule.rule.dedupe_ms:
            return msgspec.structs.replace(event, received=first.received, position=first.position)
    return event


def _first(view: View, event: CancelEvent, match_key: bytes, dedupe_ms: int) -> FirstCancel | None:
    """The occurrence that an event repeats; None if it is the first, which is noted then."""
    prefix = held_rows.first_cancel_prefix(match_key, event.identity, dedupe_ms)
    for key, value in view.held(prefix):
        first = codec.HELD_ROWS.decode(value)
        assert isinstance(first, FirstCancel)
        if abs(event.received - first.received) < dedupe_ms:
            if _place(first.received, first.position) <= _place(event.received, event.position):
                return first
            view.put(key, None)  # the event is earlier
    until = event.received + dedupe_ms
    if not view.passed(until):
        row = FirstCancel(event.received, event.position)
        view.put(held_rows.first_cancel_key(prefix, until), codec.HELD_ROWS.encode(row))
    return None


def _place(received: int, position: Position) -> tuple[int, str, int, int]:
    return received, position.topic, position.partition, position.offset
