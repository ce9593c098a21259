"""Decodes the records of one partition's `commands` and `forwards`: each once, and in order."""

from collections.abc import Collection, Iterable
from typing import TypeVar

from streams.errors import UnreadableError
from streams.joiner.decide.transaction import Input
from streams.joiner.inbox import Record
from topology import codec
from topology.codec import Codec
from topology.records import CommandBatch
from topology.tables import AppliedRow

T = TypeVar("T")


class Places:
    """The topics' names of one partition's records, and which of these are left out."""

    def __init__(self, partition: int, skipped: Collection[str]) -> None:
        """`skipped` are records as `topic/partition@offset`."""
        self._partition = partition
        self._skipped = skipped

    def at(self, topic: str, offset: int) -> str:
        """A record as text: `topic/partition@offset`."""
        return f"{topic}/{self._partition}@{offset}"

    def skips(self, topic: str, offset: int) -> bool:
        """Whether an operator has said that a record is to be left out."""
        return bool(self._skipped) and self.at(topic, offset) in self._skipped

    def unreadable(self, topic: str, offset: int, error: Exception) -> UnreadableError:
        """The error that stops a partition at a record that can't be read (S38)."""
        where = self.at(topic, offset)
        return UnreadableError(
            f"{where} can't be read: {error}. Nothing is skipped by itself, since that would lose "
            "data. If a newer release wrote it, upgrade every joiner; if it isn't Countermand's, "
            f"set COUNTERMAND_SKIP_RECORDS={where} and restart the joiners."
        )


class Intake:
    """How far a partition's records are taken; `marked` is the offset of the last marker."""

    def __init__(self, names: tuple[str, str], places: Places, applied: AppliedRow) -> None:
        """Take what follows what is applied; `names` of `commands` and `forwards`."""
        self._commands_name, self._forwards_name = names
        self._places = places
        self._taken = applied.commands
        self._applied = applied.forwards
        self.marked = applied.forwards

    def inputs(self, commands: Iterable[Record], forwards: Iterable[Record]) -> list[Input]:
        """The records that come next, decoded.

        Raises:
            UnreadableError: one of them can't be read.
        """
        taken = []
        for offset, value in commands:
            # A record for the partition's earlier life may have come while that life ended.
            if offset == self._taken + 1:
                batch = self._decoded(self._commands_name, offset, value or b"", codec.COMMANDS)
                taken.append(Input(offset, batch or CommandBatch(), len(value or b"")))
                self._taken = offset
        for offset, value in forwards:
            if value is None:
                self.marked = offset
            elif offset > self._applied:
                found = self._decoded(self._forwards_name, offset, value, codec.FORWARDS)
                taken.append(Input(offset, found or (), len(value)))
        return taken

    def unreadable(self, record: Input, error: Exception) -> UnreadableError:
        """The error that stops a partition at a record that can't be decided on as a whole."""
        of_commands = isinstance(record.body, CommandBatch)
        name = self._commands_name if of_commands else self._forwards_name
        return self._places.unreadable(name, record.offset, error)

    def _decoded(self, name: str, offset: int, value: bytes, kind: Codec[T]) -> T | None:
        """What a record holds; None if it is to be left out."""
        if self._places.skips(name, offset):
            return None
        try:
            return kind.decode(value)
        except codec.CodecError as error:
            raise self._places.unreadable(name, offset, error) from error
