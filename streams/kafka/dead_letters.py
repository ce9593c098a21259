"""The topic `dead-letters`, read: what could not be taken and why, and how to send it again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Message

from streams.kafka.producers import Sender
from streams.kafka.tail import read_all
from streams.router.dead_letters import PREFIX
from streams.settings import Settings
from topology import topics


@dataclass(frozen=True)
class Letter:
    """One dead letter: where it is, what it holds, and what was wrong."""

    partition: int
    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    error: dict[str, str]

    @property
    def position(self) -> str:
        """How the command line names it."""
        return f"{self.partition}:{self.offset}"

    @property
    def origin(self) -> str:
        """Topic, partition and offset of the record that it stands for."""
        return ":".join(self.error.get(name, "?") for name in ("topic", "partition", "offset"))


@dataclass(frozen=True)
class Wanted:
    """Which letters: at these positions (none: all), of this stage, class and topic if given."""

    positions: frozenset[str] = frozenset()
    stage: str | None = None
    kind: str | None = None
    topic: str | None = None

    def holds(self, letter: Letter) -> bool:
        """Whether a letter is one of them."""
        if self.positions and letter.position not in self.positions:
            return False
        asked = {"stage": self.stage, "class": self.kind, "topic": self.topic}
        return all(
            wanted is None or letter.error.get(name) == wanted for name, wanted in asked.items()
        )


def read_letters(settings: Settings, wanted: Wanted) -> Iterator[Letter]:
    """The letters that the topic holds now, partition by partition."""
    for message in read_all(settings, settings.topic(topics.DEAD_LETTERS)):
        letter = letter_of(message)
        if wanted.holds(letter):
            yield letter


def letter_of(message: Message) -> Letter:
    """The letter of a record."""
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    error = {
        name.removeprefix(PREFIX): (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith(PREFIX)
    }
    kept = tuple(header for header in headers if not header[0].startswith(PREFIX))
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
    """Why a letter can't be sent again; None where it can."""
    if letter.error.get("topic") not in settings.routed_topics:
        # Commands and forwards are written by routers and joiners alone.
        return "its topic is not one that routers read"
    if letter.value is None:
        return "its value was too large to keep"
    return None


def redrive(letter: Letter, sender: Sender) -> None:
    """Send the original bytes, key and headers to the original topic."""
    sender.send(letter.error["topic"], letter.value, key=letter.key, headers=letter.headers)


def _optional(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
