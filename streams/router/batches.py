"""Packs drafts into command batches, per partition and in their order.

A batch has at most 500 commands and 256 KiB. An entry is never split: alone it may be larger.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from streams.router.drafts import Draft, Registration, Routed
from streams.router.record import Record, Rejection
from topology import codec, limits
from topology.records import (
    Cancel,
    Command,
    CommandBatch,
    Complete,
    Definition,
    Entry,
    Listen,
    Match,
    Register,
    Topic,
    Update,
)

# A partition of `commands`, and a command batch for it.
Encoded: TypeAlias = tuple[int, bytes]

# Upper bounds of the bytes that msgpack takes for the fixed parts.
_ENTRY_BYTES: Final = 68
_COMMAND_BYTES: Final = 96
_KEY_BYTES: Final = 40
_TIME_BYTES: Final = 9
_CHAR_BYTES: Final = 4
_BATCH_BYTES: Final = 1_024
# So many registrations fit into a transaction in any case.
_FEW_RUNS: Final = limits.ENTRY_BYTES // (
    2 * limits.EVENT_BYTES + limits.FUNCTION_BYTES + limits.REGISTRATION_BYTES
)
_LARGEST_ENTRY: Final = limits.MESSAGE_BYTES - 4 * _BATCH_BYTES


class Progress(Struct, frozen=True):
    """Up to which offset and received time (ms) a source is complete: see `Complete`."""

    topic: str
    partition: int
    offset: int
    time: int


class _Open:
    """The batch of one partition that is being filled."""

    __slots__ = ("bodies", "commands", "entries", "first", "numbers", "size", "topics")

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}
        self.numbers: dict[tuple[str, int], int] = {}
        self.bodies: list[Definition] = []
        self.first: Definition | None = None
        self.entries: list[Entry] = []
        self.commands = 0
        self.size = _BATCH_BYTES


class Batches:
    """Collects entries; `topic_ids` has the id of every topic that entries may come from."""

    def __init__(self, topic_ids: Mapping[str, bytes]) -> None:
        self._topics = {name: Topic(name, id_) for name, id_ in topic_ids.items()}
        self._open: dict[int, _Open] = {}
        self._closed: list[Encoded] = []
        self._commands: Counter[type[Command]] = Counter()

    def add(self, record: Record, routed: Routed) -> Rejection | None:
        """Take a record's drafts, by partition; or the reason why none of them is taken."""
        drafts = routed.drafts
        for draft in drafts.values():
            draft.size = size = _size(draft)
            if len(draft.definitions) > _FEW_RUNS:
                written = _written(draft)
                if written > limits.ENTRY_BYTES:
                    return Rejection("too_many_runs", _too_many(draft, written))
            # The true size is smaller than the bound, but takes time to find.
            if size + len(draft.definitions) * limits.FUNCTION_BYTES > _LARGEST_ENTRY:
                measured = len(_encode(draft))
                if measured > _LARGEST_ENTRY:
                    return Rejection("too_many_commands", _too_large(draft, measured))
        for partition, draft in drafts.items():
            self._add(record, partition, draft, routed.identity)
        return None

    def register(self, record: Record, registration: Registration) -> bool:
        """Take a registration; False if it is so large that it must be measured."""
        definition, event = registration.definition, registration.event
        size = _ENTRY_BYTES + _COMMAND_BYTES + len(event) + _KEY_BYTES * len(registration.listeners)
        if size + limits.FUNCTION_BYTES > _LARGEST_ENTRY:
            return False
        batch = self._room(registration.partition, 1, size, (definition,))
        command = registration.command(_number(batch, definition))
        self._put(batch, record, event, (command,), registration.identity)
        return True

    def take(self) -> tuple[list[Encoded], Counter[type[Command]]]:
        """The batches since the last call, in order, and their number of commands by type."""
        for partition, batch in self._open.items():
            self._close(partition, batch)
        taken = self._closed, self._commands
        self._open, self._closed, self._commands = {}, [], Counter()
        return taken

    def _add(self, record: Record, partition: int, draft: Draft, identity: bytes) -> None:
        batch = self._room(partition, len(draft.commands), draft.size, draft.definitions)
        event = draft.event
        self._put(batch, record, event, _numbered(batch, draft), identity if event else b"")

    def _room(
        self, partition: int, commands: int, size: int, definitions: Sequence[Definition]
    ) -> _Open:
        """The batch of a partition that takes so much more: the open one, or a new one."""
        batch = self._open.get(partition) or self._begin(partition)
        # Most batches know one definition, and most entries have that one alone.
        known = not definitions or (len(definitions) == 1 and definitions[0] is batch.first)
        more = size if known else size + _new_definitions(batch, definitions)
        if batch.entries and (
            batch.commands + commands > limits.BATCH_COMMANDS
            or batch.size + more > limits.BATCH_BYTES
        ):
            self._close(partition, batch)
            batch = self._begin(partition)
            more = size + _new_definitions(batch, definitions)
        batch.commands += commands
        batch.size += more
        return batch

    def _put(
        self,
        batch: _Open,
        record: Record,
        event: bytes,
        commands: tuple[Command, ...],
        identity: bytes,
    ) -> None:
        topic = batch.topics.get(record.topic)
        if topic is None:
            topic = batch.topics[record.topic] = len(batch.topics)
        batch.entries.append(
            Entry(
                topic,
                record.partition,
                record.offset,
                record.received,
                event,
                commands,
                identity,
            )
        )

    def _begin(self, partition: int) -> _Open:
        batch = self._open[partition] = _Open()
        return batch

    def _close(self, partition: int, batch: _Open) -> None:
        record = CommandBatch(
            topics=tuple(self._topics[name] for name in batch.topics),
            definitions=tuple(batch.bodies),
            entries=tuple(batch.entries),
        )
        self._closed.append((partition, codec.COMMANDS.encode(record)))
        every = chain.from_iterable([entry.commands for entry in batch.entries])
        self._commands.update(map(type, every))


def progress_batch(progress: Sequence[Progress], topic_ids: Mapping[str, bytes]) -> bytes:
    """The command batch that tells any partition how far the sources of a router are complete."""
    names = dict.fromkeys(source.topic for source in progress)
    index = {name: number for number, name in enumerate(names)}
    return codec.COMMANDS.encode(
        CommandBatch(
            topics=tuple(Topic(name, topic_ids[name]) for name in names),
            progress=tuple(
                Complete(index[source.topic], source.partition, source.offset, source.time)
                for source in progress
            ),
        )
    )


def _number(batch: _Open, definition: Definition) -> int:
    """The number of a definition in a batch, which has it from now on."""
    if definition is batch.first:
        return 0
    number = batch.numbers.setdefault(_identity(definition), len(batch.bodies))
    if number == len(batch.bodies):
        batch.bodies.append(definition)
        batch.first = batch.bodies[0]
    return number


def _numbered(batch: _Open, draft: Draft) -> tuple[Command, ...]:
    """A draft's commands with the numbers that its definitions have in the batch."""
    numbers = [_number(batch, definition) for definition in draft.definitions]
    return tuple(
        _with_definition(command, numbers[command.definition])
        if type(command) is Register and numbers[command.definition] != command.definition
        else command
        for command in draft.commands
    )


def _with_definition(command: Register, definition: int) -> Register:
    return Register(
        definition,
        command.run_id,
        command.event_key,
        command.listeners,
        command.cancels,
        command.dispatch_at,
        command.replay_of,
        command.replay_id,
    )


def _identity(definition: Definition) -> tuple[str, int]:
    return definition.slug, definition.version


def _new_definitions(batch: _Open, definitions: Sequence[Definition]) -> int:
    """The bytes that the definitions take which the batch doesn't have yet."""
    size = 0
    for definition in definitions:
        if _identity(definition) not in batch.numbers:
            size += _COMMAND_BYTES + len(definition.body) + _CHAR_BYTES * len(definition.slug)
    return size


def _size(draft: Draft) -> int:
    """An upper bound of the bytes that a draft takes without its definitions."""
    size = _ENTRY_BYTES + len(draft.event)
    for command in draft.commands:
        size += _COMMAND_BYTES
        if type(command) is Register:
            size += _KEY_BYTES * len(command.listeners)
            if command.cancels:
                size += _size_of(command.cancels)
        elif type(command) is Cancel:
            size += _size_of(command.matches)
        elif type(command) is Listen:
            size += _KEY_BYTES * len(command.listeners)
        else:
            size += _text_size(command)
    return size


def _size_of(matches: tuple[Match, ...]) -> int:
    return sum(_KEY_BYTES + _TIME_BYTES * len(match.dedupes) for match in matches)


def _written(draft: Draft) -> int:
    """The bytes that a partition will write and send for a draft's registrations.

    A run's row and its record in `runs` have the event each, and the function may be new there.
    """
    runs = len(draft.definitions)
    bodies = sum(len(definition.body) for definition in draft.definitions)
    return runs * (2 * len(draft.event) + limits.REGISTRATION_BYTES) + bodies


def _text_size(command: Command) -> int:
    if type(command) is not Update:
        return len(msgspec.msgpack.encode(command))  # a request: rare
    size = len(command.worker) + len(command.step)
    if command.error is not None:
        size += len(command.error[0]) + len(command.error[1])
    return _CHAR_BYTES * size


def _encode(draft: Draft) -> bytes:
    return msgspec.msgpack.encode([draft.event, draft.commands, draft.definitions])


def _too_many(draft: Draft, size: int) -> str:
    return (
        f"it starts {len(draft.definitions)} runs in one partition, which would write {size} bytes "
        f"at once, over {limits.ENTRY_BYTES}: make the event smaller, or let it start fewer"
    )


def _too_large(draft: Draft, size: int) -> str:
    return (
        f"its {len(draft.commands)} commands for one partition take {size} bytes, over "
        f"{_LARGEST_ENTRY}: it starts too many runs, or speaks of too many"
    )
