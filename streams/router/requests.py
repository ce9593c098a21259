"""Routes records of `requests` (design 2.4) to the partitions that they are about."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from streams import matching
from streams.errors import ExpressionError
from streams.functions.compiled import TRIGGER_VARIABLES
from streams.router.drafts import Routed, rejected
from streams.router.record import Record, RejectedError, Rejection
from topology import codec, keys, limits
from topology.records import (
    CancelRun,
    CancelRuns,
    Command,
    Pause,
    Replay,
    Request,
    Resume,
    StopCancellation,
)
from topology.requests import (
    REQUEST_TYPES,
    CancelRunBody,
    CancelRunsBody,
    PauseBody,
    ReplayBody,
    RequestRecord,
    ResumeBody,
    StopCancellationBody,
)


def route_request(record: Record, partitions: int, limit: int = limits.EVENT_BYTES) -> Routed:
    """The command of a request: for the home of its run, or for all partitions."""
    value = record.value or b""
    try:
        if len(value) > limit:
            raise _wrong("value", f"{len(value)} bytes: at most {limit}")
        command = _command(codec.decode_json(value, RequestRecord))
    except codec.CodecError as error:
        return rejected(Rejection("bad_request", str(error)))
    except RejectedError as refused:
        return rejected(refused.rejection)
    routed = Routed()
    for partition in _reached(command, partitions):
        routed.draft(partition).commands.append(command)
    return routed


def _reached(command: Command, partitions: int) -> Iterable[int]:
    if isinstance(command, CancelRun):
        return (keys.partition_of_run(command.run_id, partitions),)
    return range(partitions)


def _command(record: RequestRecord) -> Command:
    kind = REQUEST_TYPES.get(record.type)
    if kind is None:
        message = f"type {record.type[:64]!r} is none of {', '.join(sorted(REQUEST_TYPES))}"
        raise RejectedError("unknown_request", message)
    if len((record.reason or "").encode()) > limits.REASON_BYTES:
        raise _wrong("reason", f"at most {limits.REASON_BYTES} bytes")
    if len(record.requested_by) > limits.ACTOR_CHARS:
        raise _wrong("requested_by", f"at most {limits.ACTOR_CHARS} characters")
    request = Request(_id(record.request_id), record.requested_by, record.reason)
    return _COMMANDS[kind.body](request, codec.decode_json(record.body, kind.body))


def _cancel_runs(request: Request, body: CancelRunsBody) -> CancelRuns:
    after, before = _range(body.started_after or 0, body.started_before)
    if body.if_ is not None:
        try:
            matching.check(body.if_, TRIGGER_VARIABLES)
        except ExpressionError as error:
            raise RejectedError("bad_request", f"if: {error}") from None
    return CancelRuns(request, _slug(body.slug), after, before, body.if_, body.dry_run)


def _stop(request: Request, body: StopCancellationBody) -> StopCancellation:
    return StopCancellation(request, _id(body.cancellation_id))


def _cancel_run(request: Request, body: CancelRunBody) -> CancelRun:
    return CancelRun(request, _id(body.run_id))


def _pause(request: Request, body: PauseBody) -> Pause:
    if not 0 <= body.after <= limits.LONGEST_MS:
        raise _wrong("after", f"0 to {limits.LONGEST_MS} ms is needed")
    return Pause(request, _slug(body.function_id), body.running, body.after)


def _resume(request: Request, body: ResumeBody) -> Resume:
    return Resume(request, _slug(body.function_id))


def _replay(request: Request, body: ReplayBody) -> Replay:
    after, before = _range(body.from_, body.to)
    if not 0 <= body.spread <= limits.LONGEST_MS:
        raise _wrong("spread", f"0 to {limits.LONGEST_MS} ms is needed")
    return Replay(
        request,
        _slug(body.function_id),
        after,
        before,
        tuple(dict.fromkeys(body.statuses)),  # each slice writes them
        _id(body.cancellation_id) if body.cancellation_id else b"",
        body.spread,
        body.dry_run,
        _id(body.run_id) if body.run_id else b"",
    )


# Makes the command of a request from its body, an instance of the class that it stands under.
ToCommand: TypeAlias = Callable[[Request, Any], Command]
_COMMANDS: Final[dict[type, ToCommand]] = {
    CancelRunsBody: _cancel_runs,
    StopCancellationBody: _stop,
    CancelRunBody: _cancel_run,
    PauseBody: _pause,
    ResumeBody: _resume,
    ReplayBody: _replay,
}


def _range(after: int, before: int) -> tuple[int, int]:
    """Two exclusive bounds (ms), moved into the range of times that keys can hold."""
    last = keys.TIME_END_MS - 1
    return min(max(0, after), last - 1), min(max(0, before), last)


def _slug(slug: str) -> str:
    if not 0 < len(slug) <= limits.SLUG_CHARS:
        raise _wrong("function_id", f"1 to {limits.SLUG_CHARS} characters are needed")
    return slug


def _id(text: str) -> bytes:
    try:
        return keys.run_id_bytes(text)
    except ValueError as error:
        raise RejectedError("bad_request", str(error)) from None


def _wrong(field: str, message: str) -> RejectedError:
    return RejectedError("bad_request", f"{field}: {message}")
