"""What one transaction sees and does: rows below, its own writes above, and what goes out."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import orjson

from streams.functions.compiled import CompiledFunction
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.output import Headers, Output
from streams.joiner.decide.partition import Partition
from streams.joiner.decide.sources import Sources
from topology import tables
from topology.records import Command, Definition, Forward, Json, Unlisten
from topology.tables import RequestRow

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


class View:
    """One batch's state and effects; thrown away if its transaction aborts."""

    def __init__(
        self, rows: Rows, partition: Partition, functions: Functions, now: int, watermark: int
    ) -> None:
        """A view on the `rows` of one partition.

        `now` is the wall clock in ms, only ever written, never compared.
        """
        self.partition = partition.number
        self.partitions = partition.of
        self.cancelled_name = partition.cancelled_name
        self.slice_decisions = partition.slice_decisions
        self.functions = functions
        self.sources = Sources(rows.get)
        self.now = now
        self.watermark = watermark
        self.changed: dict[bytes, bytes | None] = {}  # facts: to the changelog
        self.derived: dict[bytes, bytes | None] = {}
        self.outputs: list[Output] = []
        self.forwards: dict[int, list[Forward]] = {}
        self.counts: dict[tuple[str, ...], int] = {}
        self.applied: defaultdict[type[Command], int] = defaultdict(int)
        self.cancel_delays_ms: list[int] = []
        self.evaluation_errors: list[tuple[str, int, str]] = []
        self.requests = dict(rows.requests())  # that aren't over
        self.told_of: dict[bytes, RequestRow] = {}  # requests that changed
        self.pending = 0  # unfinished runs more, or less, than before
        self.bytes = 0
        self.number = 0  # of the command at hand in its entry
        self._rows = rows
        self._under: dict[bytes, list[bytes]] = {}
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

    # Functions and events

    def function(self, slug: str, version: int) -> CompiledFunction:
        """The version that a run of this partition was registered with."""

        def body() -> bytes:
            row = self.get(tables.function_key(slug, version))
            assert row is not None, f"no version {version} of {slug} in this partition"
            return row

        return self.functions.get(slug, version, body)

    def learn(self, definition: Definition) -> CompiledFunction:
        """The version that a run registers with; kept as a row from its first run on."""
        version = (definition.slug, definition.version)
        compiled = self._learned.get(version)
        if compiled is None:
            key = tables.function_key(definition.slug, definition.version)
            if self.get(key) is None:
                self.put(key, definition.body)
            compiled = self._learned[version] = self.functions.get(
                *version, lambda: definition.body
            )
        return compiled

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
