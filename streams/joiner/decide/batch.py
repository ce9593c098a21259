"""What goes into one transaction: timers due, a slice of long work, then input in order."""

from collections.abc import Sequence

from streams.errors import StoreError
from streams.joiner.decide import entries, fan_out, forwarded, timers
from streams.joiner.view import View
from topology import limits
from topology.records import CommandBatch, Forward, ForwardedMatch


class Input:
    """One record of `commands` or `forwards`, decoded, and how much of it is committed.

    `refused` has the commands on which `decide` raised: (entry, command) and the error's text.
    """

    __slots__ = ("body", "done", "offset", "refused")

    def __init__(self, offset: int, body: CommandBatch | tuple[Forward, ...]) -> None:
        self.offset = offset
        self.body = body
        self.done = 0
        self.refused: dict[tuple[int, int], str] = {}

    @property
    def size(self) -> int:
        """Entries, or forwarded commands, in it."""
        return len(self.body.entries) if isinstance(self.body, CommandBatch) else len(self.body)


class PoisonError(Exception):
    """A decision raised; nothing of the view counts. `place` is what to leave out the next time."""

    def __init__(self, source: Input, place: tuple[int, int], error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.source = source
        self.place = place


def decide_batch(
    view: View,
    inputs: Sequence[Input],
    sources: frozenset[entries.Source],
    due: Sequence[bytes] = (),
    work: Sequence[bytes] = (),
) -> list[int]:
    """Decide until the input or a bound is reached; how far each input is then.

    Timers that didn't fire, because others' runs were large, are not in `view.derived`.

    Raises:
        PoisonError: a command can't be decided; refuse it and decide again on a fresh view.
    """
    for timer in due:
        if view.bytes >= limits.SLICE_BYTES:
            break
        view.derive(timer, None)
        timers.fire(view, timer[9:])
    for key in work[:1]:
        fan_out.work(view, key)
    room = limits.INTAKE_COMMANDS
    reached = []
    for source in inputs:
        at = source.done
        while at < source.size and room > 0 and view.bytes < limits.SLICE_BYTES:
            room -= _decide_at(view, source, at)
            at += 1
        reached.append(at)
        if at < source.size:
            break
        if isinstance(source.body, CommandBatch):
            entries.complete(view, source.body.topics, source.body.progress, sources)
    view.write_sources()
    return reached


def _decide_at(view: View, source: Input, at: int) -> int:
    """Decide one entry or one forwarded command; how many commands that was."""
    body = source.body
    view.number = 0
    refused = {number for entry, number in source.refused if entry == at}
    try:
        if isinstance(body, CommandBatch):
            entry = body.entries[at]
            entries.decide_entry(view, body, entry, refused)
            return len(entry.commands)
        command = body[at]
        if not refused:
            forwarded.forwarded(view, command)
        if isinstance(command, ForwardedMatch):
            return len(command.hits)
    except StoreError:
        raise  # no command is to blame for the disk
    except Exception as error:  # whatever it is, one bad command must not stop a partition
        raise PoisonError(source, (at, view.number), error) from error
    return 1
