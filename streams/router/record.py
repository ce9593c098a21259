"""One record on its way through the router: as it was read, as an event, or as refused."""

from typing import Any, TypeAlias

from msgspec import Struct

Document: TypeAlias = dict[str, Any]
RecordHeaders: TypeAlias = list[tuple[str, bytes | None]]


class Record(Struct, frozen=True):
    """One record as Kafka gave it; `topic` is the full name, `received` its timestamp in ms."""

    topic: str
    partition: int
    offset: int
    received: int
    key: bytes | None = None
    value: bytes | None = None
    headers: RecordHeaders | None = None


class Event(Struct, frozen=True):
    """A normalised event: `document` holds at least name, data, id and ts; `body` is its JSON."""

    name: str
    id: str
    ts: int
    document: Document
    body: bytes


class Rejection(Struct, frozen=True):
    """Why a record goes to the dead letters: a fixed word for metrics, and a sentence."""

    kind: str
    message: str


class RejectedError(Exception):
    """The way from nested checks to the one place that answers with a rejection."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(kind, message)
