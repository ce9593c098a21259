"""`register`: an event starts a run (S1 to S3), and may cancel earlier ones (S10)."""

from streams.joiner.decide import derive, runs
from streams.joiner.decide.commands import cancel_events, meetings, pauses
from streams.joiner.decide.view import Context, View
from topology import keys, limits, tables
from topology.records import CancelEvent, Definition, Register
from topology.tables import EventRow


def register(view: View, context: Context, command: Register, definition: Definition) -> None:
    """Register a run unless its event already has one; let the event cancel earlier runs.

    Then let the run meet what was held for it, and the requests that apply to it.
    """
    compiled = view.learn(definition)
    identity = runs.kept_identity(context, compiled)
    key = derive.occurrences_key(command, command.run_id, identity)
    listed = None if command.replay_id else view.get(key)
    first = _first_occurrence(view, context, listed) if listed else None
    if first is None:
        event = runs.register(view, context, command, compiled)
        view.derive(key, derive.occurrences(listed, command.run_id, present=True))
        agenda = meetings.agenda(view, command.run_id, event)
        if view.requests and pauses.covers(view, event.slug, event.received):
            runs.begin_waiting(view, command.run_id, event, compiled, kept_back=True)
        elif agenda is not None and agenda.is_long:
            runs.begin_waiting(view, command.run_id, event, compiled, kept_back=False)
        else:
            runs.begin(view, command.run_id, event, compiled.function.app)
        if command.cancels:
            _cancel_by_same_event(view, context, command, context)
        if agenda is None:
            return
        if agenda.is_long:
            meetings.begin(view, command.run_id, event, agenda)
        else:
            run = runs.listed(view, command.run_id, event, tables.REGISTERED)
            meetings.meet(view, run, agenda)
        return
    view.count("repeated_events")
    if view.get(tables.event_row_key(command.run_id)) is None:
        # A repeat in the same ms as the first has the same run id: that run must go on listening.
        runs.stop_listening(view, command.run_id, runs.remote_listeners(view, command, compiled))
    occurred = Context(first.position, first.received, context.event, context.identity)
    if command.cancels:
        _cancel_by_same_event(view, context, command, occurred)


def _first_occurrence(view: View, context: Context, listed: bytes) -> EventRow | None:
    """The first of the `listed` runs, of one event and home key, within a day; or None (S3)."""
    for run_id in tables.run_ids(listed):
        if abs(keys.received_ms(run_id) - context.received) < limits.DEDUPE_MS:
            return runs.event_of(view, run_id)
    return None


def _cancel_by_same_event(
    view: View, context: Context, command: Register, occurred: Context
) -> None:
    """Let a trigger event cancel earlier runs of its function, as of its first occurrence."""
    cancel = CancelEvent(
        received=occurred.received,
        position=occurred.position,
        event=context.event,
        at=context.position,
        triggers=True,
        identity=context.identity,
        at_received=context.received,
    )
    cancel_events.spread(view, cancel, command.cancels)
