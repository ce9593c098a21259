"""The quick way of plain registrations, which are most of what a busy partition decides.

A registration is plain if its entry says nothing else, and its run has one listener at most, isn't
delayed, is no replay, and cancels nothing by its own event. It goes the quick way if the run meets
nothing here: no earlier run of its event, nothing that is held for it, no request. Then most of
`commands/register.py` has nothing to do, and the rest is done for many runs of one function's
version together. Whatever isn't plain ends that and goes the usual way, and so does an entry that
can't be decided. `tests/properties/test_plain.py` drives both ways with the same input.
"""

from contextlib import suppress

from streams.functions.compiled import CompiledFunction
from streams.joiner.decide import announcements, derive, dues, runs
from streams.joiner.decide.commands import meetings
from streams.joiner.decide.view import Output, View
from topology import codec, tables
from topology.records import CommandBatch, Entry, Listener, Position, Register
from topology.tables import EventRow


def register(view: View, batch: CommandBatch, at: int, most: int) -> int:
    """Register the runs of the entries from `at` on, at most so many, as long as they are plain.

    Returns how many entries are decided: none if the first goes the usual way.
    """
    first = batch.entries[at]
    command = _plain(first)
    if command is None or view.requests or _is_applied(view, batch, first):
        return 0
    new = _NewRuns(view, view.learn(batch.definitions[command.definition]))
    with suppress(Exception):  # the usual way tells what is wrong with an entry
        new.take(batch, at, most, command.definition)
    new.write()
    return len(new.outputs)


def _is_applied(view: View, batch: CommandBatch, entry: Entry) -> bool:
    """Whether an entry was applied before."""
    return view.sources.is_applied(batch.topics[entry.topic].id, entry.partition, entry.offset)


def _plain(entry: Entry) -> Register | None:
    """The one command of an entry that is a plain registration, as far as it says itself."""
    commands = entry.commands
    if len(commands) != 1:
        return None
    command = commands[0]
    if (
        type(command) is not Register
        or len(command.listeners) > 1
        or command.cancels
        or command.dispatch_at
        or command.replay_id
    ):
        return None
    return command


class _NewRuns:
    """New runs of a function's version: their records, and their rows by kind."""

    def __init__(self, view: View, compiled: CompiledFunction) -> None:
        self.outputs: list[Output] = []
        self._view = view
        self._compiled = compiled
        self._bytes = 0
        self._events: dict[bytes, bytes] = {}
        self._timers: dict[bytes, bytes] = {}
        self._listed: dict[bytes, bytes] = {}
        self._listeners: dict[bytes, bytes] = {}
        self._occurrences: dict[bytes, bytes] = {}

    def take(self, batch: CommandBatch, at: int, most: int, definition: int) -> None:
        """Take runs until one isn't plain; what may raise for one comes before what it changes."""
        view, compiled, topics = self._view, self._compiled, batch.topics
        slug, version, knows_identity = compiled.slug, compiled.version, compiled.knows_identity
        events, timers, listed = self._events, self._timers, self._listed
        waiting, occurrences, outputs = self._listeners, self._occurrences, self.outputs
        get, advance, encode = view.get, view.sources.advance, codec.EVENT_ROWS.encode
        spaces, room = view.held_spaces(), view.room()
        # The first thing that happens to a run by itself comes so long after its receipt.
        lead = dues.first_due(0, 0, compiled.function)
        announce = announcements.registrations(compiled)
        listed_under = tables.by_function_prefix(slug)
        for entry in batch.entries[at : at + most]:
            command = _plain(entry)
            if command is None or command.definition != definition or self._bytes >= room:
                return
            run_id, event_key, listeners = command.run_id, command.event_key, command.listeners
            identity = entry.identity if knows_identity else b""
            occurrence = derive.occurrences_key(command, run_id, identity)
            if occurrence in occurrences or get(occurrence):
                return
            if spaces and meetings.may_hold(view, spaces, run_id, event_key, listeners):
                return
            topic, received = topics[entry.topic], entry.received
            position = Position(topic.name, topic.id, entry.partition, entry.offset)
            due = received + lead
            event = EventRow(
                slug, version, received, position, event_key, entry.event, due, listeners, (), 0,
                b"", b"", identity,
            )  # fmt: skip
            key, row, output = tables.event_row_key(run_id), encode(event), announce(run_id, event)
            timer = tables.timer_key(due, key)
            listener = _listener_key(listeners[0], run_id) if listeners else b""
            if not advance(topic.id, entry.partition, entry.offset):
                return
            events[key] = row
            timers[timer] = b""
            listed[listed_under + run_id] = tables.REGISTERED
            if listener:
                waiting[listener] = b""
            occurrences[occurrence] = run_id
            outputs.append(output)
            self._bytes += len(key) + len(row) + output.size

    def write(self) -> None:
        """Write the rows, and send the records."""
        view, number = self._view, len(self.outputs)
        if number:
            view.register(self._events, self.outputs, self._bytes)
            for rows in (self._timers, self._listed, self._listeners, self._occurrences):
                view.derive_many(rows)
            runs.count_new(view, self._compiled, number)
            view.applied[Register] += number


def _listener_key(listener: Listener, run_id: bytes) -> bytes:
    return tables.listener_key(listener.key, run_id, listener.rule)
