"""What one transaction sees and does: stored rows, its own writes on top, and what it sends."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Protocol, TypeAlias

import orjson
from msgspec import Struct

from streams.errors import DamagedStoreError
from streams.functions.compiled import CompiledFunction
from streams.joiner.decide.functions import UNUSABLE, Functions
from streams.joiner.decide.recent import Recent
from streams.joiner.decide.sources import Sources
from streams.matching import Meter
from topology import held_rows, limits, tables
from topology.records import Command, Definition, Forward, Json, Position, Unlisten
from topology.tables import EventRow, RequestRow

# In these spaces a scan sees the transaction's own rows. Functions' lists of runs are not among
# them: when one is scanned, only timers have changed it, and each run found is loaded anyway.
_SCANNED: Final = tables.SCANNED_SPACES
_HELD: Final = tables.HELD_SPACES
_PREFIX: Final = tables.PREFIX
_OUTPUT_BYTES: Final = 64
Headers: TypeAlias = list[tuple[str, str | bytes | None]]


class Bounds(Struct, frozen=True):
    """How much one transaction does at most; tests set less, so that little input takes many.

    `slice_decisions` bounds a slice of long work, `met_at_once` what a new run meets with its
    registration; the rest are shares of their kinds of work.
    """

    slice_decisions: int = limits.SLICE_DECISIONS
    met_at_once: int = limits.MET_AT_ONCE
    timers: limits.Allowance = limits.TIMERS_ALLOWANCE
    slice: limits.Allowance = limits.SLICE_ALLOWANCE
    input: limits.Allowance = limits.INPUT_ALLOWANCE


class Partition(Struct, frozen=True):
    """Which partition (`number`) of how many (`of`), and what its processor was told.

    `cancelled_name` is the name of its cancelled events.
    """

    number: int
    of: int
    cancelled_name: str = "function.cancelled"
    bounds: Bounds = Bounds()


class Context(Struct, frozen=True):
    """The input record of a command: where it lies, when it was received (ms), and its event.

    That is the event's JSON, and its identity (empty from an older router).
    """

    position: Position
    received: int
    event: bytes
    identity: bytes


class Output(Struct, frozen=True):
    """One record for a topic's partition of the deciding partition's number.

    `topic` is the name without the prefix of settings.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """The bytes that it takes, roughly."""
        return len(self.value or b"") + _OUTPUT_BYTES


# Makes the records of a cancelled run: of its id, its row, the cause, and the cancellation's id.
CancelRecords: TypeAlias = Callable[[bytes, EventRow, bytes, bytes], tuple[Output, Output]]


class Refused(Struct, frozen=True):
    """An input record that becomes a dead letter: where it lay, its event, and why.

    `kind` is a word for metrics, `message` a sentence.
    """

    at: Position
    event: bytes
    identity: bytes
    kind: str
    message: str


class Rows(Protocol):
    """The stored rows, as they are after the last commit."""

    def get(self, key: bytes) -> bytes | None:
        """The row under a key."""

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows under a prefix, from the key `start` on, in the order of their keys."""

    def may_hold(self, prefix: bytes) -> bool:
        """Whether there may be a held row under a prefix; False means that there is none.

        True may be wrong: a scan finds nothing then.
        """

    def last(self, prefix: bytes) -> bytes:
        """The last key under a prefix; empty if there is none."""

    def is_work(self, key: bytes) -> bool:
        """Whether there is a work row under a key."""

    def oldest_meeting(self) -> int:
        """See `tables.oldest_meeting`, of all work rows."""

    def may_hold_any(self, prefixes: Iterable[bytes]) -> bool:
        """Whether `may_hold` is true for one of some prefixes."""

    def held_spaces(self) -> AbstractSet[int]:
        """The spaces (`MET_SPACES`) that have held rows."""

    def requests(self) -> Mapping[bytes, RequestRow]:
        """The rows of requests that aren't over, by their keys."""


class View:
    """The state and the effects of one transaction; thrown away if it aborts."""

    def __init__(
        self, rows: Rows, partition: Partition, functions: Functions, now: int, watermark: int
    ) -> None:
        """A view on the `rows` of one partition.

        `now` is the wall clock (ms), which decisions write into records and never compare.
        """
        self.partition = partition.number
        self.partitions = partition.of
        self.cancelled_name = partition.cancelled_name
        self.bounds = partition.bounds
        self.functions = functions
        self.sources = Sources(rows.get)
        self.now = now
        self.watermark = watermark
        self.changed: dict[bytes, bytes | None] = {}  # facts, for the changelog too
        self.derived: dict[bytes, bytes | None] = {}
        self.outputs: list[Output] = []
        self.forwards: dict[int, list[Forward]] = {}
        self.counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.applied: defaultdict[type[Command], int] = defaultdict(int)
        self.cancel_delays_ms: list[int] = []
        self.evaluation_errors: list[tuple[str, int, str]] = []
        self.refused: list[Refused] = []
        self.worked: list[bytes] = []  # keys of work rows that had their turn
        self.requests = dict(rows.requests())  # those that aren't over
        self.told_of: dict[bytes, RequestRow] = {}  # the requests that changed
        self.pending = 0  # by how much the number of unfinished runs changed
        # By how much the numbers of functions' versions' runs changed.
        self.runs_of: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.bytes = 0  # roughly, of what is written and sent
        self.meter = Meter()  # of all evaluations
        self.number = 0  # of the command that is being decided, in its entry
        self.last_cause: tuple[object, object, bytes] = (None, None, b"")  # of a cancel event, rule
        self.cancel_records: dict[CompiledFunction, CancelRecords] = {}
        self._rows = rows
        self._oldest_meeting: int | None = None
        self._requests_of: defaultdict[str, dict[bytes, RequestRow]] | None = None
        self._under: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._held: set[int] = set()  # the spaces of held rows that changed
        self._followed = set(_HELD)  # the spaces whose changed rows are in `_under`
        self._learned: dict[tuple[str, int], CompiledFunction] = {}
        self._function: CompiledFunction | None = None  # the one that was asked for last
        self._parsed: Recent[bytes, Json] = Recent(limits.PARSED_BYTES)
        self.allow(self.bounds.input)

    # Shares of the transaction

    def allow(self, allowance: limits.Allowance) -> None:
        """Begin a kind of work that has a share of its own."""
        self._bytes_until = self.bytes + allowance.bytes
        self._cost_until = self.meter.spent + allowance.cost

    def is_full(self, more_bytes: int = 0) -> bool:
        """Whether the share of this kind of work is used up, with `more_bytes` that will come."""
        return self.bytes + more_bytes >= self._bytes_until or self.meter.spent >= self._cost_until

    def room(self) -> int:
        """How many more bytes this kind of work may write and send; 0 if its share is used up."""
        return 0 if self.meter.spent >= self._cost_until else self._bytes_until - self.bytes

    # Rows

    def get(self, key: bytes) -> bytes | None:
        """The row under a key, as this transaction leaves it."""
        if key in self.changed:
            return self.changed[key]
        if key in self.derived:
            return self.derived[key]
        return self._rows.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a fact, or delete it with None; the timer of a held row follows it."""
        if key[0] in self._followed:
            self._under[key[_PREFIX]].append(key)
            if key[0] in _HELD:
                self._held.add(key[0])
                timer = tables.timer_key(held_rows.held_until(key), key)
                self.derived[timer] = None if value is None else b""
        self.changed[key] = value
        self.bytes += len(key) + len(value or b"")

    def register(self, events: Mapping[bytes, bytes], outputs: list[Output], size: int) -> None:
        """Write the events of new runs and send their records, which take so many bytes."""
        self.changed.update(events)  # their space is never scanned
        self.outputs += outputs
        self.bytes += size

    def derive(self, key: bytes, value: bytes | None) -> None:
        """Write a derived row, or delete it with None."""
        if key[0] in self._followed:
            self._under[key[_PREFIX]].append(key)
        self.derived[key] = value

    def derive_rows(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write derived rows, or delete those that are None."""
        followed = self._followed
        self.derived.update(rows)
        for key in rows:
            if key[0] in followed:
                self._under[key[_PREFIX]].append(key)

    def derive_many(self, rows: Mapping[bytes, bytes]) -> None:
        """Write derived rows of one space."""
        self.derived.update(rows)
        if rows and next(iter(rows))[0] in self._followed:
            for key in rows:
                self._under[key[_PREFIX]].append(key)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The rows under a prefix (17 bytes) beyond the key `after`, in the order of their keys."""
        if prefix[0] in _SCANNED and prefix[0] not in self._followed:
            self._follow(prefix[0])
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

    def held(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The held rows under a prefix beyond the key `after`; mostly, and cheaply, none.

        They are read one by one: there may be many, and large ones.
        """
        return self.scan(prefix, after) if self.may_hold(prefix) else iter(())

    def last_held(self, prefix: bytes) -> bytes:
        """The last key of the held rows under a prefix, be it there or just gone; empty: none."""
        return max(self._rows.last(prefix), *self._under.get(prefix, [b""]))

    def may_hold(self, prefix: bytes) -> bool:
        """Whether there may be a held row under a prefix; False means that there is none.

        True may be wrong: a scan finds nothing then.
        """
        return prefix in self._under or self._rows.may_hold(prefix)

    def _follow(self, space: int) -> None:
        """Note the changed rows of a space from now on; registrations alone need no note of any."""
        self._followed.add(space)
        for rows in (self.changed, self.derived):
            for key in rows:
                if key[0] == space:
                    self._under[key[_PREFIX]].append(key)

    def is_meeting(self, run_id: bytes) -> bool:
        """Whether a run has yet to meet what was held for it."""
        key = tables.meeting_key(run_id)
        return self.changed[key] is not None if key in self.changed else self._rows.is_work(key)

    def is_needed(self, time: int) -> bool:
        """Whether what a time (ms) is the end of is needed still, though that has passed.

        It is while a run received until then has yet to meet what was held for it.
        """
        if self._oldest_meeting is None:
            self._oldest_meeting = self._rows.oldest_meeting()
        return time >= self._oldest_meeting

    def may_hold_any(self, prefixes: Collection[bytes]) -> bool:
        """Whether there may be a held row under one of some prefixes; see `may_hold`."""
        return self._rows.may_hold_any(prefixes) or not self._under.keys().isdisjoint(prefixes)

    def held_spaces(self) -> AbstractSet[int]:
        """The spaces that have held rows for runs, or had some before this transaction."""
        return self._rows.held_spaces() | self._held

    # Requests

    def requests_of(self, slug: str) -> dict[bytes, RequestRow]:
        """The requests of a function that aren't over, by the keys of their rows."""
        if self._requests_of is None:
            self._requests_of = defaultdict(dict)
            for key, row in self.requests.items():
                self._requests_of[row.command.function][key] = row
        return self._requests_of[slug]

    def keep_request(self, key: bytes, row: RequestRow) -> None:
        """Note the new row of a request, which goes if it is over."""
        for requests in (self.requests, self.requests_of(row.command.function)):
            if row.over:
                requests.pop(key, None)
            else:
                requests[key] = row

    def _own(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        value = self.get(key)
        if value is not None:
            yield key, value

    # Functions and events

    def function(self, slug: str, version: int) -> CompiledFunction:
        """A compiled version that a run of this partition was registered with."""
        last = self._function
        if last is None or last.slug != slug or last.version != version:
            last = self._function = self._compiled(slug, version)
        return last

    def _compiled(self, slug: str, version: int) -> CompiledFunction:
        def body() -> bytes:
            row = self.get(tables.function_key(slug, version))
            assert row is not None, f"no version {version} of {slug} in this partition"
            return row

        try:
            return self.functions.get(slug, version, body)
        except UNUSABLE as error:
            return self.functions.stand_in(slug, version, error)

    def learn(self, definition: Definition) -> CompiledFunction:
        """The compiled version that a run registers with; its first run writes it as a row."""
        version = (definition.slug, definition.version)
        compiled = self._learned.get(version)
        if compiled is None:
            key = tables.function_key(definition.slug, definition.version)
            if self.get(key) is None:
                self.put(key, definition.body)
                self.runs_of[version] += 0
            compiled = self._learned[version] = self.functions.get(
                *version, lambda: definition.body
            )
        return compiled

    def keep_versions(self) -> None:
        """Note how many runs each version has now; a version without runs goes.

        Raises:
            DamagedStoreError: more runs went than there were: derived rows are missing.
        """
        for version, change in self.runs_of.items():
            key = tables.runs_of_version_key(*version)
            runs = tables.count_of(self.get(key)) + change
            if runs < 0:
                raise DamagedStoreError(f"{version} has fewer runs than were removed")
            self.derive(key, tables.counted(runs))
            if not runs:
                self.put(tables.function_key(*version), None)

    def parsed(self, event: bytes) -> Json:
        """An event from its JSON; what is used again soon is parsed once."""
        parsed = self._parsed.get(event)
        if parsed is None:
            self.meter.add(len(event) * limits.PARSED_BYTE_COST)
            parsed = self._parsed.put(event, orjson.loads(event), len(event))
        return parsed

    # Effects

    def emit(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> None:
        """Send a record to this partition's number of a topic, with this transaction."""
        output = Output(topic, key, value, headers)
        self.outputs.append(output)
        self.bytes += output.size

    def send(self, *outputs: Output) -> None:
        """Send records that are made already."""
        self.outputs += outputs
        for output in outputs:
            self.bytes += output.size

    def forward(self, partition: int, command: Forward) -> None:
        """Send a command to the joiner of a partition, with this transaction."""
        self.forwards.setdefault(partition, []).append(command)
        self.bytes += 256 if isinstance(command, Unlisten) else 256 + len(command.cancel.event)

    def count(self, *name: str) -> None:
        """Count something for the metrics, if the transaction commits."""
        self.counts[name] += 1

    def refuse(self, refused: Refused) -> None:
        """Make an input record a dead letter, with this transaction."""
        self.refused.append(refused)
        self.bytes += len(refused.event)

    def delayed(self, received: int) -> None:
        """Note the delay of a cancel whose reason was received, or came due, at a time (ms)."""
        self.cancel_delays_ms.append(max(0, self.now - received))

    def passed(self, time: int) -> bool:
        """Whether the watermark has passed a time (ms): all received until then is applied."""
        return self.watermark > time
