"""One command batch, entry by entry; sources and the watermark move on."""

from collections.abc import Callable, Collection
from typing import Final

from streams.joiner.decide.commands import (
    cancel_events,
    cancellations,
    listen,
    pauses,
    register,
    replays,
    update,
)
from streams.joiner.decide.view import Context, View
from topology.records import (
    Cancel,
    CancelEvent,
    CancelRun,
    CancelRuns,
    Command,
    CommandBatch,
    Complete,
    Entry,
    Listen,
    Pause,
    Position,
    Register,
    Replay,
    Resume,
    StopCancellation,
    Topic,
    Update,
)

Source = tuple[bytes, int]


def decide_entry(
    view: View, batch: CommandBatch, entry: Entry, refused: Collection[int] = ()
) -> None:
    """Decide one entry.

    The commands whose numbers are in `refused` failed before and are left out.
    """
    topic = batch.topics[entry.topic]
    if not view.advance(topic.id, entry.partition, entry.offset):
        view.count("repeated_entries")
        return
    position = Position(topic.name, topic.id, entry.partition, entry.offset)
    context = Context(position, entry.received, entry.event)
    for number, command in enumerate(entry.commands):
        if number not in refused:
            view.number = number
            if type(command) is Register:
                definition = batch.definitions[command.definition]
                register.register(view, context, command, definition)
            else:
                _DECIDERS[type(command)](view, context, command)


def _cancel(view: View, context: Context, command: Cancel) -> None:
    event = CancelEvent(context.received, context.position, context.event, context.position)
    cancel_events.cancel(view, event, command.matches)


_DECIDERS: Final[dict[type[Command], Callable[..., None]]] = {
    Cancel: _cancel,
    Listen: listen.listen,
    Update: update.update,
    CancelRuns: cancellations.cancel_runs,
    StopCancellation: cancellations.stop_cancellation,
    CancelRun: cancellations.cancel_run,
    Pause: pauses.pause,
    Resume: pauses.resume,
    Replay: replays.replay,
}


def complete(
    view: View,
    topics: tuple[Topic, ...],
    sources: tuple[Complete, ...],
    expected: frozenset[Source],
) -> None:
    """Note how far a router is complete; the watermark is the minimum over all sources."""
    for report in sources:
        view.complete(topics[report.topic].id, report.partition, report.offset, report.time)
    if expected:
        lowest = min(view.complete_until(topic_id, partition) for topic_id, partition in expected)
        view.watermark = max(view.watermark, lowest)
