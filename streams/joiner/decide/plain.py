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
from streams.joiner.decide.view import Context, Output, View
from topology import codec, tables
from topology.records import CommandBatch, Entry, Position, Register


def register(view: View, batch: CommandBatch, at: int, most: int) -> int:
    """Register the runs of the entries from `at` on, at most so many, as long as they are plain.

    Returns how many entries are decided: none if the first goes the usual way.
    """
    first = batch.entries[at]
    command = _plain(first)
    if command is None or view.requests or _is_applied(view, batch, first):
        return 0
    definition = command.definition
    new = _NewRuns(view, view.learn(batch.definitions[definition]))
    room = view.room()
    with suppress(Exception):  # the usual way tells what is wrong with an entry
        for entry in batch.entries[at : at + most]:
            command = _plain(entry)
            if command is None or command.definition != definition or new.bytes >= room:
                break
            topic = batch.topics[entry.topic]
            position = Position(topic.name, topic.id, entry.partition, entry.offset)
            context = Context(position, entry.received, entry.event, entry.identity)
            if not new.add(context, command):
                break
    new.write()
    return new.number


def _is_applied(view: View, batch: CommandBatch, entry: Entry) -> bool:
    """Whether an entry was applied before."""
    return view.sources.is_applied(batch.topics[entry.topic].id, entry.partition, entry.offset)


def _plain(entry: Entry) -> Register | None:
    """The one command of an entry that is a plain registration, as far as it says itself."""
    if len(entry.commands) != 1:
        return None
    command = entry.commands[0]
    if (
        not isinstance(command, Register)
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
        self.bytes = 0
        self._view = view
        self._compiled = compiled
        # The first thing that happens to a run by itself comes so long after its receipt.
        self._lead = dues.first_due(0, 0, compiled.function)
        self._list = tables.by_function_prefix(compiled.slug)
        self._events: dict[bytes, bytes] = {}
        self._timers: dict[bytes, bytes] = {}
        self._listed: dict[bytes, bytes] = {}
        self._listeners: dict[bytes, bytes] = {}
        self._occurrences: dict[bytes, bytes] = {}
        self._outputs: list[Output] = []

    @property
    def number(self) -> int:
        """How many runs there are."""
        return len(self._outputs)

    def add(self, context: Context, command: Register) -> bool:
        """Take one more run, unless it meets something; what may raise comes before any change."""
        view, compiled, run_id = self._view, self._compiled, command.run_id
        identity = runs.kept_identity(context, compiled)
        occurrence = derive.occurrences_key(command, run_id, identity)
        if occurrence in self._occurrences or view.get(occurrence):
            return False
        if meetings.may_hold(view, run_id, command.event_key, command.listeners):
            return False
        due = context.received + self._lead
        event = runs.new_event(context, command, compiled, identity, due)
        key, row = tables.event_row_key(run_id), codec.EVENT_ROWS.encode(event)
        timer = tables.timer_key(due, key)
        waits = [tables.listener_key(one.key, run_id, one.rule) for one in command.listeners]
        output = announcements.registered(run_id, event, compiled.function.app)
        position = context.position
        if not view.sources.advance(position.topic_id, position.partition, position.offset):
            return False
        self._events[key] = row
        self._timers[timer] = b""
        self._listed[self._list + run_id] = tables.REGISTERED
        for listener in waits:
            self._listeners[listener] = b""
        self._occurrences[occurrence] = run_id
        self._outputs.append(output)
        self.bytes += len(key) + len(row) + output.size
        return True

    def write(self) -> None:
        """Write the rows, and send the records."""
        view, number = self._view, self.number
        if not number:
            return
        view.put_many(self._events)
        for rows in (self._timers, self._listed, self._listeners, self._occurrences):
            view.derive_many(rows)
        view.send(self._outputs)
        runs.count_new(view, self._compiled, number)
        view.applied[Register] += number
