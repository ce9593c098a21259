"""Finds what a cancel event repeats: the notes of joiners in the topic `state` (S36)."""

from collections.abc import Iterable, Iterator, Mapping

from streams import matching
from streams.functions.compiled import CompiledFunction, CompiledRule
from streams.functions.explain import First
from streams.kafka import tail
from streams.router.record import Event
from streams.settings import Settings
from topology import codec, held_rows, keys
from topology.held_rows import FirstCancel
from topology.records import Json
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
        UnreachableError: Kafka doesn't answer.
    """
    topic = settings.topic(STATE)
    partitions = tail.count_partitions(settings, topic)
    identity = keys.event_identity(cancel.source, cancel.name, cancel.id)
    wanted: dict[bytes, list[int]] = {}
    places = set()
    for rule in _rules(function, cancel.document):
        for key in _keys(rule, cancel):
            prefix = held_rows.first_cancel_prefix(key, identity, rule.rule.dedupe_ms)
            wanted.setdefault(prefix, []).append(rule.index)
            home = keys.partition_of_run(run_id, partitions)
            scans = rule.scan_key is not None
            places.add(home if scans else keys.partition_of_key(key, partitions))
    notes: dict[bytes, bytes | None] = {}
    for record in tail.read_all(settings, topic, places):
        row = record.key() or b""
        if row[PREFIX] in wanted:
            notes[bytes(row)] = record.value()
    return dict(_nearest(function, wanted, notes, received))


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


def _nearest(
    function: CompiledFunction,
    wanted: Mapping[bytes, list[int]],
    notes: Mapping[bytes, bytes | None],
    received: int,
) -> Iterable[tuple[int, First]]:
    for row, value in notes.items():
        note = None if value is None else codec.HELD_ROWS.decode(value)
        if not isinstance(note, FirstCancel):
            continue
        for index in wanted[row[PREFIX]]:
            if abs(received - note.received) < function.rules[index].rule.dedupe_ms:
                place = note.position
                yield index, First(note.received, place.topic, place.partition, place.offset)
