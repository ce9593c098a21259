"""Decides an entry of a command batch: its commands, in their order."""

from collections.abc import Callable, Collection
from typing import Final

from streams.joiner.decide.commands import (
    cancel_events,
    cancellations,
    listen,
    pauses,
    register,
    update,
)
from streams.joiner.decide.kinds import KINDS
from streams.joiner.decide.view import Context, View
from topology.records import (
    Cancel,
    CancelEvent,
    CancelRun,
    Command,
    CommandBatch,
    Entry,
    Listen,
    Position,
    Register,
    Resume,
    StopCancellation,
    Update,
)


def decide_entry(
    view: View, batch: CommandBatch, entry: Entry, refused: Collection[int] = ()
) -> None:
    """Decide an entry, unless it was applied before.

    Commands whose numbers are in `refused` are left out: they can't be decided.
    """
    topic = batch.topics[entry.topic]
    if not view.sources.advance(topic.id, entry.partition, entry.offset):
        view.count("repeated_entries")
        return
    position = Position(topic.name, topic.id, entry.partition, entry.offset)
    context = Context(position, entry.received, entry.event, entry.identity)
    applied = view.applied
    for number, command in enumerate(entry.commands):
        if number not in refused:
            view.number = number
            applied[type(command)] += 1
            if type(command) is Register:
                definition = batch.definitions[command.definition]
                register.register(view, context, command, definition)
            else:
                _DECIDERS[type(command)](view, context, command)


def _cancel(view: View, context: Context, command: Cancel) -> None:
    event = CancelEvent(
        received=context.received,
        position=context.position,
        event=context.event,
        at=context.position,
        identity=context.identity,
        at_received=context.received,
    )
    cancel_events.cancel(view, event, command.matches)


_DECIDERS: Final[dict[type[Command], Callable[..., None]]] = {
    Cancel: _cancel,
    Listen: listen.listen,
    Update: update.update,
    StopCancellation: cancellations.stop_cancellation,
    CancelRun: cancellations.cancel_one,
    Resume: pauses.resume,
    **{command: kind.begin for command, kind in KINDS.items()},
}
