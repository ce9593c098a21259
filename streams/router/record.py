"""A record on its way through a router: as read, as an event, or as refused."""

from typing import Any, TypeAlias

from msgspec import Struct

from topology.keys import DIGEST_BYTES
from topology.records import IDENTITY_HEADER

Document: TypeAlias = dict[str, Any]
RecordHeaders: TypeAlias = list[tuple[str, bytes | None]]


class Record(Struct, frozen=True):
    """A record as Kafka gave it; `topic` is the full name, `received` its timestamp in ms."""

    topic: str
    partition: int
    offset: int
    received: int
    key: bytes | None = None
    value: bytes | None = None
    headers: RecordHeaders | None = None


class Event(Struct, frozen=True):
    """A complete event: `document` has at least name, data, id and ts (ms); `body` is its JSON.

    `source` is where it comes from, as far as that is said. `id_of_place`: its id is made up from
    its place, since it has none of its own.
    """

    name: str
    id: str
    ts: int
    document: Document
    body: bytes
    source: str = ""
    id_of_place: bool = False


def identity_of(headers: RecordHeaders) -> bytes:
    """The identity of an event that a dead letter has kept; empty where there is none."""
    for name, value in headers:
        if name == IDENTITY_HEADER and value is not None:
            try:
                identity = bytes.fromhex(value.decode())
            except ValueError:
                return b""
            return identity if len(identity) == DIGEST_BYTES else b""
    return b""


class Rejection(Struct, frozen=True):
    """Why a record goes to the dead letters: a word for metrics, and a sentence."""

    kind: str
    message: str


class RejectedError(Exception):
    """Carries a rejection from nested checks to the function that returns it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(kind, message)
