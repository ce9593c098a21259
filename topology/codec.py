"""Bytes and records: JSON for records that users read, versioned msgpack for internal ones."""

from typing import Any, Final, Generic, TypeVar

import msgspec

from topology import held_rows, limits, records, tables
from topology.tables import Space

T = TypeVar("T")

# Where text is not UTF-8, and where values are nested too deeply, msgspec raises Python's errors.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class CodecError(ValueError):
    """Bytes that are not a record of the expected kind."""


class UnknownLevelError(Exception):
    """A function of a level that this release doesn't know: its reader must stop (S38)."""


class UnknownVersionError(CodecError):
    """A record of a version that this release doesn't read; the reader must stop, not skip it."""


class Codec(Generic[T]):
    """One kind of internal record: a version byte, then msgpack.

    A codec writes one version and reads the earlier ones too: a new field stands at the end of a
    record and has a default.
    """

    def __init__(self, kind: type[T], version: int, oldest: int = 1) -> None:
        """A codec for `kind` that writes `version` (up to 255), and reads from `oldest` on."""
        self._version = bytes([version])
        self._readable = frozenset(bytes([number]) for number in range(oldest, version + 1))
        self._kind = kind
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def encode(self, record: T) -> bytes:
        """The bytes of a record."""
        return self._version + self._encoder.encode(record)

    def decode(self, data: bytes) -> T:
        """The record of the bytes.

        Raises:
            UnknownVersionError: this release doesn't read the version.
            CodecError: the bytes are not such a record.
        """
        if data[:1] not in self._readable:
            raise UnknownVersionError(
                f"{self._kind} of version {data[0] if data else 'none'}, this release reads up to "
                f"{self._version[0]}: upgrade every joiner before the routers"
            )
        try:
            return self._decoder.decode(memoryview(data)[1:])
        except UNREADABLE as error:
            raise CodecError(f"not a {self._kind}: {error}") from error


COMMANDS: Final = Codec(records.CommandBatch, 4)
FORWARDS: Final = Codec(tuple[records.Forward, ...], 3)
EVENT_ROWS: Final = Codec(tables.EventRow, 3)
RUN_ROWS: Final = Codec(tables.RunRow, 2)
SOURCE_ROWS: Final = Codec(tables.SourceRow, 1)
APPLIED_ROWS: Final = Codec(tables.AppliedRow, 2)
LISTENER_ROWS: Final = Codec(tables.ListenerRow, 1)
HELD_ROWS: Final[Codec[held_rows.HeldRow]] = Codec(held_rows.HeldRow, 3)  # type: ignore[arg-type]  # a union of types
# Only the newest version is read: a disk of another format is wiped, and restored.
CHECKPOINTS: Final = Codec(tables.Checkpoint, tables.CHECKPOINT_FORMAT, tables.CHECKPOINT_FORMAT)
FAN_OUT_ROWS: Final = Codec(tables.FanOutRow, 3)
WORK_ROWS: Final[Codec[tables.WorkRow]] = Codec(tables.WorkRow, 3)  # type: ignore[arg-type]  # a union of types
REQUEST_ROWS: Final = Codec(tables.RequestRow, 3)

# What each space of the changelog holds; rows of the others are no JSON of ours, or just there.
_ROWS: Final[dict[int, Codec[Any] | None]] = {
    Space.APPLIED[0]: APPLIED_ROWS,
    Space.BARRIER[0]: None,
    Space.SOURCE[0]: SOURCE_ROWS,
    Space.FUNCTION[0]: None,
    Space.EVENT[0]: EVENT_ROWS,
    Space.RUN[0]: RUN_ROWS,
    Space.LISTENER[0]: LISTENER_ROWS,
    **dict.fromkeys(tables.HELD_SPACES - {Space.REFUSED_CANCEL[0]}, HELD_ROWS),
    Space.REFUSED_CANCEL[0]: None,
    **dict.fromkeys(tables.WORK_SPACES - {Space.FAN_OUT[0]}, WORK_ROWS),
    Space.FAN_OUT[0]: FAN_OUT_ROWS,
    Space.REQUEST[0]: REQUEST_ROWS,
}


def check_row(key: bytes, value: bytes | None) -> None:
    """Check that a record of the changelog is a row.

    Raises:
        CodecError: it is none.
    """
    if key[:1] and key[0] in _ROWS:
        if len(key) < tables.SHORTEST_KEYS.get(key[0], 1):
            raise CodecError(f"a key of {len(key)} bytes: {key.hex()[:64]}")
        kind = _ROWS[key[0]]
        if kind is not None and value is not None:
            kind.decode(value)
        return
    raise CodecError(f"no table has rows under the key {key.hex()[:64]}")


_function_decoder = msgspec.json.Decoder(records.Function)
_update_decoder = msgspec.json.Decoder(records.RunUpdate)


def encode_function(function: records.Function) -> bytes:
    """The JSON of a function: a record of the topic `functions`."""
    return msgspec.json.encode(function)


def decode_function(data: bytes) -> records.Function:
    """The function of a record of the topic `functions`.

    Raises:
        CodecError: the bytes are not such a function.
        UnknownLevelError: a later release has written it.
    """
    if len(data) > limits.FUNCTION_BYTES:
        raise CodecError(f"{len(data)} bytes: a function has at most {limits.FUNCTION_BYTES}")
    try:
        function = _function_decoder.decode(data)
    except UNREADABLE as error:
        raise CodecError(f"not a function: {error}") from error
    if len(function.slug) > limits.SLUG_CHARS:
        raise CodecError(f"a slug of {len(function.slug)} characters: {limits.SLUG_CHARS} at most")
    if function.semantics > records.SEMANTICS:
        raise UnknownLevelError(
            f"the function {function.slug} has level {function.semantics} (semantics), and this "
            f"release knows {records.SEMANTICS} at most: upgrade this process"
        )
    return function


def decode_update(data: bytes) -> records.RunUpdate:
    """The update of a record of the topic `run-updates`.

    Raises:
        CodecError: the bytes are not such an update.
    """
    try:
        return _update_decoder.decode(data)
    except UNREADABLE as error:
        raise CodecError(f"not a run update: {error}") from error


def decode_json(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """A record of a kind, from JSON.

    Raises:
        CodecError: the bytes are not such a record.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise CodecError(f"not a {kind.__name__}: {error}") from error
