"""What one transaction sees and does: rows below, its own writes above, and what goes out."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

import orjson
from msgspec import Struct

from streams import matching
from streams.functions.compiled import TRIGGER_VARIABLES, CompiledFunction, compile_definition
from topology import codec, keys, tables
from topology.records import CancelEvent, Definition, Forward, Json, Position, Unlisten
from topology.tables import RequestRow, SourceRow

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

# Where a scan sees this transaction's own rows. Lists of functions aren't among them: they are
# scanned before there are any, or but for what timers changed, and every run found is looked at.
_SCANNED: Final = tables.SCANNED_SPACES
_HELD: Final = tables.HELD_SPACES
_PREFIX: Final = tables.PREFIX


class Rows(Protocol):
    """The rows below a view, as they were after the last commit."""

    def get(self, key: bytes) -> bytes | None:
        """The row under a key."""

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows under a prefix from `start` on, in the order of their keys."""

    def may_hold(self, prefix: bytes) -> bool:
        """Whether a held row may lie under this prefix; never False where one does."""

    def requests(self) -> Mapping[bytes, RequestRow]:
        """The requests that aren't over, by their rows' keys."""


class Output(Struct, frozen=True):
    """One record for a topic's partition of the same number.

    `topic` is the name without its prefix.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Place(Struct, frozen=True):
    """Which partition of how many, and what its cancelled events are called."""

    partition: int
    partitions: int
    cancelled_name: str = "function.cancelled"


class Functions:
    """What is compiled once for the life of a partition's processor."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], CompiledFunction] = {}
        self._conditions: dict[str, matching.Expression] = {}

    def get(self, slug: str, version: int, body: Callable[[], bytes]) -> CompiledFunction:
        """The compiled version; `body` gives its JSON where it isn't compiled yet."""
        compiled = self._compiled.get((slug, version))
        if compiled is None:
            compiled = compile_definition(Definition(slug, version, body()))
            self._compiled[slug, version] = compiled
        return compiled

    def condition(self, text: str) -> matching.Expression:
        """The compiled condition of a request."""
        condition = self._conditions.get(text)
        if condition is None:
            condition = self._conditions[text] = matching.parse(text, TRIGGER_VARIABLES)
        return condition


class Context(Struct, frozen=True):
    """Where the command at hand comes from: its input record."""

    position: Position
    received: int
    event: bytes


class _Source:
    """How far a source is applied, as far as a view has come."""

    __slots__ = ("changed", "offset", "time")

    def __init__(self, row: SourceRow) -> None:
        self.offset = row.offset
        self.time = row.time
        self.changed = False


class View:
    """One batch's state and effects; thrown away if its transaction aborts."""

    def __init__(
        self, rows: Rows, place: Place, functions: Functions, now: int, watermark: int
    ) -> None:
        """A view on `rows` of one partition.

        `now` is the wall clock in ms, only ever written, never compared.
        """
        self.partition = place.partition
        self.partitions = place.partitions
        self.cancelled_name = place.cancelled_name
        self.now = now
        self.watermark = watermark
        self.changed: dict[bytes, bytes | None] = {}  # facts: to the changelog
        self.derived: dict[bytes, bytes | None] = {}
        self.outputs: list[Output] = []
        self.forwards: dict[int, list[Forward]] = {}
        self.counts: dict[tuple[str, ...], int] = {}
        self.cancel_delays_ms: list[int] = []
        self.evaluation_errors: list[tuple[str, int, str]] = []
        self.requests = dict(rows.requests())  # that aren't over
        self.told_of: dict[bytes, RequestRow] = {}  # requests that changed
        self.pending = 0  # unfinished runs more, or less, than before
        self.bytes = 0
        self.number = 0  # of the command at hand in its entry
        self._rows = rows
        self._functions = functions
        self._under: dict[bytes, list[bytes]] = {}
        self._sources: dict[tuple[bytes, int], _Source] = {}
        self._learned: dict[tuple[str, int], CompiledFunction] = {}
        self._parsed: dict[bytes, Json] = {}

    # Rows

    def get(self, key: bytes) -> bytes | None:
        """The row under a key, this batch's writes included."""
        if key in self.changed:
            return self.changed[key]
        if key in self.derived:
            return self.derived[key]
        return self._rows.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a fact, or delete it with None; its own timer, if it has one, follows."""
        if key[0] in _SCANNED:
            self._under.setdefault(key[_PREFIX], []).append(key)
            if key[0] in _HELD:
                timer = tables.timer_key(tables.held_until(key), key)
                self.derived[timer] = None if value is None else b""
        self.changed[key] = value
        self.bytes += len(key) + len(value or b"")

    def derive(self, key: bytes, value: bytes | None) -> None:
        """Write a derived row, or delete it with None."""
        if key[0] in _SCANNED:
            self._under.setdefault(key[_PREFIX], []).append(key)
        self.derived[key] = value

    def derive_rows(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write derived rows, or delete those that are None."""
        under = self._under
        self.derived.update(rows)
        for key in rows:
            if key[0] in _SCANNED:
                under.setdefault(key[_PREFIX], []).append(key)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Rows under a prefix of 17 bytes, beyond the key `after`, in the order of their keys."""
        start = after + b"\x00" if after else prefix
        below = self._rows.scan(start, prefix)
        if prefix not in self._under:
            yield from below
            return
        mine = sorted({key for key in self._under[prefix] if key >= start})
        at = 0
        for key, value in below:
            while at < len(mine) and mine[at] <= key:
                yield from self._own(mine[at])
                at += 1
            if key not in self.changed and key not in self.derived:
                yield key, value
        for key in mine[at:]:
            yield from self._own(key)

    def scan_run(self, match_key: bytes, run_id: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The listeners of one run under one match key."""
        prefix = tables.LISTENERS + match_key
        for key, value in self.scan(prefix, prefix + run_id):
            if key[tables.LISTENER_RUN] != run_id:
                return
            yield key, value

    def held(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Held rows under a prefix; cheap where there are none, which is the rule."""
        return list(self.scan(prefix)) if self.may_hold(prefix) else []

    def may_hold(self, prefix: bytes) -> bool:
        """Whether a held row may lie under a prefix; never False where one does."""
        return prefix in self._under or self._rows.may_hold(prefix)

    def _own(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        value = self.get(key)
        if value is not None:
            yield key, value

    # Sources

    def advance(self, topic_id: bytes, partition: int, offset: int) -> bool:
        """A source's record is applied; False where it was already."""
        source = self._sources.get((topic_id, partition)) or self._source(topic_id, partition)
        if offset <= source.offset:
            return False
        source.offset = offset
        source.changed = True
        return True

    def complete(self, topic_id: bytes, partition: int, offset: int, time: int) -> None:
        """A source has nothing more to come up to an offset, and to a time."""
        source = self._source(topic_id, partition)
        if offset > source.offset or time > source.time:
            source.offset = max(source.offset, offset)
            source.time = max(source.time, time)
            source.changed = True

    def complete_until(self, topic_id: bytes, partition: int) -> int:
        """Up to which time a source is complete; -1: it never said so."""
        return self._source(topic_id, partition).time

    def write_sources(self) -> None:
        """Put the rows of all sources that advanced.

        Once per batch, since each advances at every entry.
        """
        for (topic_id, partition), source in self._sources.items():
            if source.changed:
                row = SourceRow(source.offset, source.time)
                self.put(tables.source_key(topic_id, partition), codec.SOURCE_ROWS.encode(row))

    def _source(self, topic_id: bytes, partition: int) -> _Source:
        source = self._sources.get((topic_id, partition))
        if source is None:
            value = self._rows.get(tables.source_key(topic_id, partition))
            row = codec.SOURCE_ROWS.decode(value) if value is not None else SourceRow()
            source = self._sources[topic_id, partition] = _Source(row)
        return source

    # Functions and events

    def function(self, slug: str, version: int) -> CompiledFunction:
        """The version that a run of this partition was registered with."""

        def body() -> bytes:
            row = self.get(tables.function_key(slug, version))
            assert row is not None, f"no version {version} of {slug} in this partition"
            return row

        return self._functions.get(slug, version, body)

    def learn(self, definition: Definition) -> CompiledFunction:
        """The version that a run registers with; kept as a row from its first run on."""
        version = (definition.slug, definition.version)
        compiled = self._learned.get(version)
        if compiled is None:
            key = tables.function_key(definition.slug, definition.version)
            if self.get(key) is None:
                self.put(key, definition.body)
            compiled = self._learned[version] = self._functions.get(
                *version, lambda: definition.body
            )
        return compiled

    def condition(self, text: str) -> matching.Expression:
        """The compiled condition of a request; it was checked before it came here."""
        return self._functions.condition(text)

    def parsed(self, event: bytes) -> Json:
        """The event of its JSON; parsed once per batch."""
        parsed = self._parsed.get(event)
        if parsed is None:
            parsed = self._parsed[event] = orjson.loads(event)
        return parsed

    # Effects

    def emit(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> None:
        """Send a record with this transaction."""
        self.outputs.append(Output(topic, key, value, headers))
        self.bytes += len(value or b"") + 64

    def forward(self, partition: int, command: Forward) -> None:
        """Send a command to another partition with this transaction."""
        self.forwards.setdefault(partition, []).append(command)
        self.bytes += 256 if isinstance(command, Unlisten) else 256 + len(command.cancel.event)

    def count(self, *name: str) -> None:
        """Count something for the metrics; counted only if the transaction commits."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def delayed(self, received: int) -> None:
        """A run is cancelled now for something that was received, or came due, then."""
        self.cancel_delays_ms.append(max(0, self.now - received))

    def passed(self, time: int) -> bool:
        """Whether nothing received at `time` or before is still to come."""
        return self.watermark > time

    def is_home(self, run_id: bytes) -> bool:
        """Whether this partition decides the run's status."""
        return keys.partition_of_run(run_id, self.partitions) == self.partition


def event_id(view: View, cancel: CancelEvent) -> str:
    """The id of a cancel event."""
    return str(view.parsed(cancel.event)["id"])
