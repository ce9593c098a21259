"""Decides what one transaction does: timers that are due, a slice of long work, then input."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from streams.errors import StoreError
from streams.joiner.decide import entries, forwarded, plain, requests, slices, timers
from streams.joiner.decide.poison import deciding_on
from streams.joiner.decide.sources import Source
from streams.joiner.decide.view import View
from topology import limits, tables
from topology.codec import UnknownLevelError
from topology.records import CommandBatch, Forward, ForwardedMatch

_NONE: Final[Mapping[bytes, str]] = MappingProxyType({})


class Input:
    """One record of `commands` or `forwards`, decoded, and how much of it is committed.

    `bytes` is its encoded size, `done` how many entries, or forwarded commands, are committed.
    `refused` has the errors of commands that can't be decided, by the numbers of entry and command.
    """

    __slots__ = ("body", "bytes", "done", "offset", "refused")

    def __init__(self, offset: int, body: CommandBatch | tuple[Forward, ...], size: int) -> None:
        self.offset = offset
        self.body = body
        self.bytes = size
        self.done = 0
        self.refused: dict[tuple[int, int], str] = {}

    @property
    def size(self) -> int:
        """How many entries, or forwarded commands, the record has."""
        return len(self.body.entries) if isinstance(self.body, CommandBatch) else len(self.body)

    def refused_at(self, at: int) -> Collection[int]:
        """The numbers of the refused commands of one entry (or forwarded command)."""
        return {number for entry, number in self.refused if entry == at} if self.refused else ()


class UndecidableError(Exception):
    """A command can't be decided: number `place[1]` of entry `place[0]` of a record."""

    def __init__(self, record: Input, place: tuple[int, int], error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.record = record
        self.place = place


def room(inputs: Sequence[Input]) -> int:
    """How many more records may be taken beside these; 0 if they fill a transaction.

    The bytes count too, since one command may have a large event.
    """
    if sum(record.bytes for record in inputs) >= limits.INTAKE_BYTES:
        return 0
    return max(0, limits.INTAKE_COMMANDS - sum(record.size - record.done for record in inputs))


def decide_batch(  # noqa: PLR0913, PLR0917  # what one transaction decides on
    view: View,
    inputs: Sequence[Input],
    sources: frozenset[Source],
    due: Sequence[bytes] = (),
    work: Sequence[bytes] = (),
    given_up: Mapping[bytes, str] = _NONE,
) -> list[int]:
    """Decide until the input ends or the transaction is full.

    `sources` are those whose minimum is the watermark, `due` the keys of timers, `work` the keys of
    work rows in the order of their turns. Those in `given_up` can't be decided on, for the reasons
    there. Timers that didn't fit are not in `view.derived`.
    Returns how many entries, or forwarded commands, are decided of each record that was reached.

    Raises:
        UndecidableError: a command can't be decided; refuse it and decide again on a new view.
        PoisonError: a timer or a work row can't be; give it up and decide again on a new view.
        StoreError: the rows can't be read, or don't fit each other.
        UnknownLevelError: a later release has written a function.
    """
    view.allow(view.bounds.timers)
    for timer in due:
        if view.is_full():
            break
        view.derive(timer, None)
        with deciding_on(timer):
            if timer in given_up:
                timers.give_up(view, timer[tables.TIMER_ROW], given_up[timer])
            else:
                timers.fire(view, timer[tables.TIMER_ROW])
    view.allow(view.bounds.slice)
    slices.work(view, work, given_up)
    view.allow(view.bounds.input)
    left = limits.INTAKE_COMMANDS
    reached = []
    for record in inputs:
        at, left = _decide_from(view, record, record.done, left)
        reached.append(at)
        if at < record.size:
            break
        if isinstance(record.body, CommandBatch):
            _complete(view, record, record.body, sources)
    finish(view)
    return reached


def finish(view: View) -> None:
    """Write and tell what follows from all decisions of a transaction."""
    for key, row in view.sources.changed_rows():
        view.put(key, row)
    requests.tell(view)
    view.keep_versions()


def _complete(view: View, record: Input, batch: CommandBatch, sources: frozenset[Source]) -> None:
    try:
        view.sources.complete(batch.topics, batch.progress)
    except (IndexError, OverflowError) as error:  # a source that no batch can have
        raise UndecidableError(record, (record.size, 0), error) from error
    view.watermark = max(view.watermark, view.sources.complete_until(sources))


def _decide_from(view: View, record: Input, at: int, left: int) -> tuple[int, int]:
    """Decide from entry, or forwarded command, `at` on; the next one, and how much is `left`."""
    decide = _decide_entry if isinstance(record.body, CommandBatch) else _decide_forward
    size = record.size
    try:
        while at < size and left > 0 and not view.is_full():
            view.number = 0
            if done := _register_plain(view, record, at, left):
                at, left = at + done, left - done
            else:
                left -= decide(view, record, at)
                at += 1
    except (StoreError, UnknownLevelError):
        raise  # the disk fails, or this release is too old: not the command
    except Exception as error:  # one bad command must not stop a partition
        raise UndecidableError(record, (at, view.number), error) from error
    return at, left


def _register_plain(view: View, record: Input, at: int, most: int) -> int:
    """Register plain entries, of one command each; how many: none beside refused commands."""
    if record.refused or not isinstance(record.body, CommandBatch):
        return 0
    return plain.register(view, record.body, at, most)


def _decide_entry(view: View, record: Input, at: int) -> int:
    """Decide one entry; the number of its commands."""
    batch = record.body
    assert isinstance(batch, CommandBatch)
    entry = batch.entries[at]
    entries.decide_entry(view, batch, entry, record.refused_at(at))
    return len(entry.commands)


def _decide_forward(view: View, record: Input, at: int) -> int:
    """Decide one forwarded command; the number of commands that it counts for."""
    assert not isinstance(record.body, CommandBatch)
    command = record.body[at]
    if not record.refused_at(at):
        forwarded.forwarded(view, command)
    return len(command.hits) if isinstance(command, ForwardedMatch) else 1
