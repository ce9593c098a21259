"""One command batch, entry by entry; sources and the watermark move on."""

from collections.abc import Callable, Collection
from typing import Final

from streams.joiner.decide import (
    cancellations,
    cancels,
    listen,
    pauses,
    register,
    replays,
    update,
)
from streams.joiner.view import Context, View
from topology.records import (
    Cancel,
    CancelEvent,
    CancelRun,
    CancelRuns,
    Command,
    CommandBatch,
    Complete,
    Definition,
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
            _DECIDERS[type(command)](view, context, command, batch.definitions)


def _register(
    view: View, context: Context, command: Register, definitions: tuple[Definition, ...]
) -> None:
    register.register(view, context, command, definitions[command.definition])


def _cancel(view: View, context: Context, command: Cancel, _: tuple[Definition, ...]) -> None:
    event = CancelEvent(context.received, context.position, context.event, context.position)
    cancels.cancel(view, event, command.matches)


def _listen(view: View, _: Context, command: Listen, __: tuple[Definition, ...]) -> None:
    listen.listen(view, command)


def _update(view: View, context: Context, command: Update, _: tuple[Definition, ...]) -> None:
    update.update(view, context, command)


def _cancel_runs(
    view: View, context: Context, command: CancelRuns, _: tuple[Definition, ...]
) -> None:
    cancellations.cancel_runs(view, context, command)


def _stop(view: View, _: Context, command: StopCancellation, __: tuple[Definition, ...]) -> None:
    cancellations.stop_cancellation(view, command)


def _cancel_run(
    view: View, context: Context, command: CancelRun, _: tuple[Definition, ...]
) -> None:
    cancellations.cancel_run(view, context, command)


def _pause(view: View, context: Context, command: Pause, _: tuple[Definition, ...]) -> None:
    pauses.pause(view, context, command)


def _resume(view: View, context: Context, command: Resume, _: tuple[Definition, ...]) -> None:
    pauses.resume(view, context, command)


def _replay(view: View, context: Context, command: Replay, _: tuple[Definition, ...]) -> None:
    replays.replay(view, context, command)


_DECIDERS: Final[dict[type[Command], Callable[..., None]]] = {
    Register: _register,
    Cancel: _cancel,
    Listen: _listen,
    Update: _update,
    CancelRuns: _cancel_runs,
    StopCancellation: _stop,
    CancelRun: _cancel_run,
    Pause: _pause,
    Resume: _resume,
    Replay: _replay,
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
