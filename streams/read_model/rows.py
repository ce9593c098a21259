"""Makes rows of the records of `runs`, `requests` and `request-progress`; without Kafka or SQL.

A row is a tuple in the order of its table's columns. Only what a row needs is decoded: an event is
kept as the text that came.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from topology import codec
from topology.codec import CodecError
from topology.fields import Time
from topology.requests import REQUEST_TYPES, RequestRecord

Row: TypeAlias = tuple[Any, ...]

# PostgreSQL's texts can't hold this character; in JSON it is escaped.
_NUL: Final = "\x00"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_NULL: Final = "null"
_NO_JSON: Final = Raw(_NULL.encode())
_OF_PROGRESS: Final = 2
_OF_FAILURE: Final = 3


# Whoever reads the rows relies on these; what else doesn't fit a column, the database refuses.
_Id: TypeAlias = Annotated[str, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")]
_Status: TypeAlias = Literal[
    "scheduled", "running", "sleeping", "completed", "failed", "cancelled", "skipped", "expired"
]
# So many that sums over all partitions are numbers of 64 bits.
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 48)]
_State: TypeAlias = Literal["queued", "running", "done", "stopped", "failed"]


class _Source(Struct):
    topic: str
    partition: int
    offset: int


class _Event(Struct):
    id: str
    name: str


class CauseEvent(Struct):
    """What is known of the event that cancelled a run: when its record was received (ms)."""

    received: Time | None = None


class Cause(Struct):
    """Why a run was cancelled."""

    type: str = ""
    event: CauseEvent | None = None


_NO_CAUSE: Final = Cause()


class _Run(Struct):
    run_id: _Id
    function_id: str
    app_id: str
    function_version: int
    status: _Status
    seq: int
    attempt: int
    at: Time
    scheduled_at: Time
    event: Raw
    source: _Source
    status_before: _Status | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    stopped_at: Time | None = None
    sleep_until: Time | None = None
    worker: str | None = None
    last_step: str | None = None
    error: Raw = _NO_JSON
    cause: Raw = _NO_JSON
    cancellation_id: str | None = None
    replay_of: str | None = None
    replay_id: str | None = None


class _Progress(Struct):
    request_id: _Id
    partition: int
    state: _State
    updated_at: Time
    outcome: str | None = None
    scanned: _Count = 0
    matched: _Count = 0
    cancelled: _Count = 0
    replayed: _Count = 0
    already_ended: _Count = 0
    failed: _Count = 0
    sample: list[str] = []
    error: str | None = None


class _Failure(Struct):
    request_id: str
    run_id: str
    failed: str


_runs: Final = Decoder(_Run)
_events: Final = Decoder(_Event)
_causes: Final = Decoder(Cause)
_progress: Final = Decoder(_Progress)
_failures: Final = Decoder(_Failure)


def run_row(value: bytes) -> tuple[Row, Cause]:
    """The row of a record of `runs`, and why the run was cancelled, if it was.

    Raises:
        CodecError: the bytes are not such a record.
    """
    try:
        run = _runs.decode(value)
        event = _events.decode(run.event)
        cause = _json(run.cause)
        row = (
            run.run_id,
            run.function_id,
            run.app_id,
            run.function_version,
            run.status,
            run.status_before,
            run.seq,
            run.attempt,
            run.scheduled_at,
            run.started_at,
            run.ended_at,
            run.stopped_at,
            run.sleep_until,
            run.at,
            _text(event.id),
            _text(event.name),
            _json(run.event),
            run.source.topic,
            run.source.partition,
            run.source.offset,
            _text(run.worker),
            _text(run.last_step),
            _json(run.error),
            cause,
            run.cancellation_id,
            run.replay_of,
            run.replay_id,
        )
        return row, _NO_CAUSE if cause is None else _causes.decode(run.cause)
    except (*codec.UNREADABLE, ValueError) as error:
        raise CodecError(f"not a run: {error}") from error


def request_row(key: bytes, value: bytes, received_at: int) -> Row:
    """The row of a record of `requests`, of any type that routers know.

    Raises:
        CodecError: the record is not a request.
    """
    try:
        record = codec.decode_json(value, RequestRecord)
        function = _function(record.type, record.body)
        target = _text(key.decode())
    except ValueError as error:
        raise CodecError(f"not a request: {error}") from error
    return (
        record.request_id,
        record.type,
        target,
        function,
        _text(record.requested_by),
        _text(record.reason),
        received_at if record.at is None else record.at,
        received_at,
        _json(record.body),
    )


def progress_row(value: bytes) -> Row:
    """The row of a record of `request-progress` about a partition.

    Raises:
        CodecError: the bytes are not such a record.
    """
    try:
        progress = _progress.decode(value)
    except (*codec.UNREADABLE, ValueError) as error:
        raise CodecError(f"not a progress: {error}") from error
    return (
        progress.request_id,
        progress.partition,
        progress.state,
        progress.outcome,
        progress.scanned,
        progress.matched,
        progress.cancelled,
        progress.replayed,
        progress.already_ended,
        progress.failed,
        msgspec.json.encode(progress.sample).decode(),
        _text(progress.error),
        progress.updated_at,
    )


def failure_row(value: bytes) -> Row:
    """The row of a record of `request-progress` about a run without an answer.

    Raises:
        CodecError: the bytes are not such a record.
    """
    try:
        failure = _failures.decode(value)
    except (*codec.UNREADABLE, ValueError) as error:
        raise CodecError(f"not a failure: {error}") from error
    return failure.request_id, failure.run_id, _text(failure.failed)


def progress_key(key: bytes) -> Row:
    """What a key of `request-progress` names: (request, partition), or (request, run) of a failure.

    A failure's partition is left out, since a run has one home.

    Raises:
        CodecError: the key names neither.
    """
    parts = key.decode(errors="replace").split("/")
    if len(parts) == _OF_PROGRESS and parts[1].isdecimal():
        return parts[0], int(parts[1])
    if len(parts) == _OF_FAILURE:
        return parts[0], parts[2]
    raise CodecError(f"not a key of progress: {key[:64]!r}")


def _function(kind: str, body: Raw) -> str | None:
    """The slug of the function that a request is about; None where it is about none."""
    of = REQUEST_TYPES.get(kind)
    if of is None:
        raise CodecError(f"unknown type {kind[:64]!r}")
    return None if of.slug is None else of.slug(codec.decode_json(body, of.body))


def _json(raw: Raw) -> str | None:
    if raw is _NO_JSON:  # most runs have neither an error nor a cause
        return None
    text = str(raw, "utf-8")
    return None if text == _NULL else text


def _text(text: str | None) -> str | None:
    return text.replace(_NUL, _REPLACEMENT) if text else text
