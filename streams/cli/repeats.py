"""Finds what a cancel event repeats: the notes of joiners in the topic `state` (S36)."""

from collections.abc import Iterator, Mapping

from streams import matching
from streams.functions.compiled import CompiledFunction, CompiledRule
from streams.functions.explain import First
from streams.kafka import tail
from streams.router.record import Event
from streams.settings import Settings
from topology import codec, held_rows, keys
from topology.held_rows import FirstCancel
from topology.records import FirstOccurrence, Json
from topology.tables import PREFIX
from topology.topics import STATE


def asks_for_repeats(function: CompiledFunction, event: Mapping[str, Json]) -> bool:
    """Whether a rule of a function for this event counts repeats as one."""
    return any(_rules(function, event))


def repeated(
    settings: Settings, function: CompiledFunction, run_id: bytes, cancel: Event, received: int
) -> dict[int, First]:
    """The first occurrences of an event that is received now (ms), by rules with `dedupe`.

    A rule that scans has noted it in every partition; the run's home decides. This reads the
    partitions of `state` in which there may be a note.

    Raises:
        NotFoundError: The topic is missing.
        KafkaRefusedError: This user may not read it.
        UnreachableError: Kafka doesn't answer.
    """
    topic = settings.topic(STATE)
    partitions = tail.count_partitions(settings, topic)
    home = keys.partition_of_run(run_id, partitions)
    identity = keys.event_identity(cancel.source, cancel.name, cancel.id)
    wanted: dict[int, list[bytes]] = {}
    places = set()
    for rule in _rules(function, cancel.document):
        scans = rule.scan_key is not None
        found = list(_keys(rule, cancel))
        places |= {home if scans else keys.partition_of_key(key, partitions) for key in found}
        wanted[rule.index] = [held_rows.first_cancel_prefix(key, identity) for key in found]
    notes: dict[bytes, bytes | None] = {}
    prefixes = frozenset(prefix for listed in wanted.values() for prefix in listed)
    for record in tail.read_all(settings, topic, places):
        row = bytes(record.key() or b"")
        if row[PREFIX] in prefixes:
            notes[row] = record.value()
    return {
        index: first
        for index, listed in wanted.items()
        if (first := _first(function.rules[index], listed, notes, received)) is not None
    }


def _rules(function: CompiledFunction, event: Mapping[str, Json]) -> Iterator[CompiledRule]:
    for rule in function.rules:
        if rule.rule.dedupe_ms and rule.event == event["name"]:
            yield rule


def _keys(rule: CompiledRule, cancel: Event) -> Iterator[bytes]:
    """The match keys under which joiners look for repeats of an event."""
    if rule.scan_key is not None:
        yield rule.scan_key
    for kind in rule.kinds:
        key = kind.cancel_key(cancel.document, matching.Meter())
        if key is not None:
            yield key


def _first(
    rule: CompiledRule, prefixes: list[bytes], notes: Mapping[bytes, bytes | None], received: int
) -> First | None:
    """The first occurrence for a rule; None: under one of its keys the event is no repeat."""
    found = [_noted(rule.rule.dedupe_ms, prefix, notes, received) for prefix in prefixes]
    firsts = [first for first in found if first is not None]
    if not firsts or len(firsts) < len(found):
        return None
    latest = max(firsts, key=lambda first: first.received)
    place = latest.position
    return First(latest.received, place.topic, place.partition, place.offset)


def _noted(
    dedupe_ms: int, prefix: bytes, notes: Mapping[bytes, bytes | None], received: int
) -> FirstOccurrence | None:
    for row, value in notes.items():
        note = codec.HELD_ROWS.decode(value) if value and row[PREFIX] == prefix else None
        if isinstance(note, FirstCancel):
            for first in note.firsts:
                if first.dedupe_ms == dedupe_ms and received - first.received < dedupe_ms:
                    return first
    return None
