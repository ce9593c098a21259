"""The topic `dead-letters`: records that a stage refused, and why; writing and reading them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message
from msgspec import Struct

from streams.kafka.headers import Headers, headers_of
from streams.kafka.producers import Sender
from streams.kafka.tail import read_all
from streams.settings import Settings
from topology import limits, topics
from topology.codec import CodecError
from topology.records import EVALUATION_BUDGET

_PREFIX: Final = "countermand.error."
# An upper bound of what Kafka adds to a record and to its batch.
_OVERHEAD_BYTES: Final = 1_024
_MESSAGE_CHARS: Final = 1_024
_HEADER_BYTES: Final = 16


class Origin(Struct, frozen=True):
    """The record that a dead letter stands for, and where it lay."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers | None = None


class DeadLetter(Struct, frozen=True):
    """A record of the topic `dead-letters`."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter(
    origin: Origin, *, stage: str, kind: str, message: str, limit: int = limits.MESSAGE_BYTES
) -> DeadLetter:
    """The dead letter of a record that `stage` refused; `kind` and `message` say why.

    It has the record's key, value and headers, and headers about the error. Where that is more than
    `limit` bytes, the value is left out, and if need be also the key and the record's headers: the
    position is enough to find the record again.
    """
    error = _error(origin, stage, kind, message)
    kept = [(name, value) for name, value in origin.headers or [] if not name.startswith(_PREFIX)]
    key, value = origin.key, origin.value
    room = limit - _OVERHEAD_BYTES - _size(error)
    if _length(key) + _length(value) + _size(kept) > room:
        value = None
    if _length(key) + _length(value) + _size(kept) > room:
        key, kept = None, []
    return DeadLetter(key, value, kept + error)


@dataclass(frozen=True)
class Letter:
    """A dead letter as read: its position, the record that it stands for, and the error."""

    partition: int
    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    error: dict[str, str]

    @property
    def position(self) -> str:
        """The letter's name in the command line: `partition:offset`."""
        return f"{self.partition}:{self.offset}"

    @property
    def origin(self) -> str:
        """Topic, partition and offset of the record that the letter stands for."""
        return ":".join(self.error.get(name, "?") for name in ("topic", "partition", "offset"))

    @property
    def size(self) -> int:
        """How many bytes it takes in Kafka, about."""
        error = sum(map(len, self.error.values()))
        return _length(self.key) + _length(self.value) + _size(self.headers) + error


@dataclass(frozen=True)
class Wanted:
    """A filter of letters; no positions, or None, stand for all; times are ms, and exclusive."""

    positions: frozenset[str] = frozenset()
    stage: str | None = None
    kind: str | None = None
    topic: str | None = None
    after: int | None = None
    before: int | None = None

    def holds(self, letter: Letter) -> bool:
        """Whether the filter lets a letter pass."""
        if self.positions and letter.position not in self.positions:
            return False
        if self.after is not None and letter.time <= self.after:
            return False
        if self.before is not None and letter.time >= self.before:
            return False
        asked = {"stage": self.stage, "class": self.kind, "topic": self.topic}
        return all(
            wanted is None or letter.error.get(name) == wanted for name, wanted in asked.items()
        )


def read_letters(settings: Settings, wanted: Wanted) -> Iterator[Letter]:
    """The letters of the topic that the filter lets pass, as of now."""
    for message in read_all(settings, settings.topic(topics.DEAD_LETTERS)):
        letter = letter_of(message)
        if wanted.holds(letter):
            yield letter


def letter_of(message: Message) -> Letter:
    """The letter of a record."""
    try:
        headers = headers_of(message) or []
    except CodecError:  # nothing can be said of it but where it lies
        headers = []
    error = {
        name.removeprefix(_PREFIX): (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith(_PREFIX)
    }
    kept = tuple(header for header in headers if not header[0].startswith(_PREFIX))
    return Letter(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        time=message.timestamp()[1],
        key=_optional(message.key()),
        value=_optional(message.value()),
        headers=kept,
        error=error,
    )


def why_not(letter: Letter, settings: Settings) -> str | None:
    """The reason why a letter can't be sent again; None where it can."""
    if letter.error.get("topic") not in settings.routed_topics:
        # Commands and forwards are written by routers and joiners alone.
        return "its topic is not one that routers read"
    if letter.error.get("class") == EVALUATION_BUDGET:
        return "its evaluation would take as much again: simplify the function's expressions"
    if letter.value is None:
        return "its value was too large to keep"
    return None


@dataclass(frozen=True)
class Plan:
    """What sending letters again means.

    Attributes:
        ready: The letters that can be sent.
        skipped: Why others can't, by position.
    """

    ready: Sequence[Letter]
    skipped: Mapping[str, str]

    @property
    def targets(self) -> Counter[str]:
        """How many letters go to which topic."""
        return Counter(letter.error["topic"] for letter in self.ready)


def plan(letters: Sequence[Letter], settings: Settings) -> Plan:
    """Which letters can be sent again."""
    reasons = {letter.position: why_not(letter, settings) for letter in letters}
    ready = [letter for letter in letters if reasons[letter.position] is None]
    return Plan(ready, {name: why for name, why in reasons.items() if why is not None})


def redrive(letter: Letter, sender: Sender) -> None:
    """Send the record that a letter stands for to its topic again."""
    sender.send(letter.error["topic"], letter.value, key=letter.key, headers=letter.headers)


def _error(origin: Origin, stage: str, kind: str, message: str) -> Headers:
    fields = {
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "stage": stage,
        "class": kind,
        "message": message,
    }
    return [
        (_PREFIX + name, text[:_MESSAGE_CHARS].encode(errors="replace"))
        for name, text in fields.items()
    ]


def _size(headers: Sequence[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + _length(value) + _HEADER_BYTES for name, value in headers)


def _length(data: bytes | None) -> int:
    return 0 if data is None else len(data)


def _optional(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
