"""`register`: an event starts a run (S1 to S3), and may cancel earlier ones (S10)."""

from streams.joiner.decide import derive, runs
from streams.joiner.decide.commands import cancel_events, cancellations, pauses, update
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Context, View
from topology import codec, keys, limits, tables
from topology.records import CancelEvent, Definition, ForwardedCancel, Match, Register
from topology.tables import EventRow, HeldMatch


def register(view: View, context: Context, command: Register, definition: Definition) -> None:
    """Register a run unless its event already has one; let the event cancel earlier runs.

    Then let the run meet what was held for it, and the requests that apply to it.
    """
    key = derive.occurrences_key(command, command.run_id)
    listed = None if command.replay_id else view.get(key)
    first = _first_occurrence(view, context, listed) if listed else None
    compiled = view.learn(definition)
    if first is None:
        event = runs.register(view, context, command, compiled)
        view.derive(key, derive.occurrences(listed, command.run_id, present=True))
        if view.requests and pauses.covers(view, event.slug, event.received):
            runs.begin_kept_back(view, command.run_id, event, compiled)
        else:
            runs.begin(view, command.run_id, event, compiled.function.app)
        if command.cancels:
            _cancel_by_same_event(view, context, command, context)
        _meet_held(view, command.run_id, event)
        if view.requests:
            run = runs.registered(view, command.run_id)
            cancellations.meet_late(view, run)
            pauses.meet_late(view, run)
        return
    view.count("repeated_events")
    if view.get(tables.event_row_key(command.run_id)) is None:
        # A repeat in the same ms as the first has the same run id: that run must go on listening.
        runs.stop_listening(view, command.run_id, runs.remote_listeners(view, command, compiled))
    occurred = Context(position=first.position, received=first.received, event=context.event)
    if command.cancels:
        _cancel_by_same_event(view, context, command, occurred)


def _first_occurrence(view: View, context: Context, listed: bytes) -> EventRow | None:
    """The first of the `listed` runs, of one event id and home key, within a day; or None (S3)."""
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
    )
    by_partition: dict[int, list[Match]] = {}
    for match in command.cancels:
        everywhere = range(view.partitions) if match.everywhere else ()
        for target in everywhere or (keys.partition_of_key(match.key, view.partitions),):
            by_partition.setdefault(target, []).append(match)
    for target, matches in by_partition.items():
        if target == view.partition:
            cancel_events.cancel(view, cancel, tuple(matches))
        else:
            view.forward(target, ForwardedCancel(cancel, tuple(matches)))


def _meet_held(view: View, run_id: bytes, event: EventRow) -> None:
    """Let a run meet what was held for it: matches, cancel events, updates by event id."""
    if view.may_hold(tables.HELD_MATCHES + run_id):
        _meet_held_matches(view, runs.registered(view, run_id))
    for listener in event.listeners:
        if view.may_hold(tables.HELD_CANCELS + listener.key):
            run = runs.registered(view, run_id)
            for cancel in cancel_events.held_cancels(view, listener.key):
                cancel_events.decide_match(view, cancel, run, listener.rule)
    if view.may_hold(tables.HELD_UPDATES + event.event_key):
        update.meet_held_updates(view, run_id, event.event_key)


def _meet_held_matches(view: View, run: Run) -> None:
    """Let a run meet cancel events that found its listeners before it was registered (S11)."""
    for key, value in view.held(tables.HELD_MATCHES + run.id):
        held = codec.HELD_ROWS.decode(value)
        assert isinstance(held, HeldMatch)
        for rule in held.rules:
            cancel_events.decide_match(view, held.cancel, run, rule)
        view.put(key, None)
