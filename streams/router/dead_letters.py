"""What goes to the topic `dead-letters`: a record that couldn't be taken, and why."""

from typing import Final

from msgspec import Struct

from topology import limits

Headers = list[tuple[str, bytes | None]]
PREFIX: Final = "countermand.error."
# What Kafka adds to a record and to its batch, generously.
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
    """The dead letter of a record that `stage` refused: its bytes, its headers and the error's.

    Where that is larger than `limit`, the value is left out, then the key and the record's headers:
    its position is enough to find it again.
    """
    error = _error(origin, stage, kind, message)
    kept = [(name, value) for name, value in origin.headers or [] if not name.startswith(PREFIX)]
    key, value = origin.key, origin.value
    room = limit - _OVERHEAD_BYTES - _size(error)
    if _length(key) + _length(value) + _size(kept) > room:
        value = None
    if _length(key) + _length(value) + _size(kept) > room:
        key, kept = None, []
    return DeadLetter(key, value, kept + error)


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
        (PREFIX + name, text[:_MESSAGE_CHARS].encode(errors="replace"))
        for name, text in fields.items()
    ]


def _size(headers: Headers) -> int:
    return sum(len(name.encode()) + _length(value) + _HEADER_BYTES for name, value in headers)


def _length(data: bytes | None) -> int:
    return 0 if data is None else len(data)
