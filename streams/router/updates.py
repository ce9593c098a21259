"""Routes records of `run-updates` (design 2.3): what workers say about runs."""

from typing import Final

from msgspec import UNSET

from streams.router.drafts import Routed, rejected
from streams.router.record import Record, RejectedError, Rejection
from topology import codec, keys, limits
from topology.keys import TIME_END_MS
from topology.records import RunUpdate, Update

HEARTBEAT: Final = "heartbeat"
STATUSES: Final = frozenset({"running", "sleeping", "completed", "failed", "stopped"})
_LARGEST_ATTEMPT: Final = 2**31 - 1


def route_update(record: Record, partitions: int, limit: int = limits.EVENT_BYTES) -> Routed:
    """The commands of a run update: for a run's home, or everywhere if only its event is known."""
    value = record.value or b""
    try:
        if len(value) > limit:
            raise _wrong("value", f"{len(value)} bytes: at most {limit}")
        update = codec.decode_update(value)
        _check(update)
        if update.status == HEARTBEAT:
            return _heartbeat(update, partitions)
        return _update(update, partitions)
    except codec.CodecError as error:
        return rejected(Rejection("bad_update", str(error)))
    except RejectedError as refused:
        return rejected(refused.rejection)


def _update(update: RunUpdate, partitions: int) -> Routed:
    if update.status not in STATUSES:
        known = ", ".join(sorted(STATUSES | {HEARTBEAT}))
        raise RejectedError("bad_status", f"{update.status[:64]!r} is none of {known}")
    by_event = update.run_id is UNSET
    command = Update(
        run_id=b"" if by_event else _run_id(update.run_id),
        event_key=_event_key(update) if by_event else b"",
        status=update.status,
        attempt=_attempt(update.attempt, required=not by_event),
        worker=update.worker,
        step=update.step or "",
        until=_until(update),
        error=None if update.error is None else (update.error.name, update.error.message),
    )
    routed = Routed()
    home = keys.partition_of_run(command.run_id, partitions) if command.run_id else None
    for partition in range(partitions) if home is None else (home,):
        routed.draft(partition).commands.append(command)
    return routed


def _heartbeat(update: RunUpdate, partitions: int) -> Routed:
    """A command for each run that the worker still has, for the run's home."""
    if not update.worker:
        raise _wrong("worker", "a heartbeat says whose it is")
    if update.run_id is not UNSET or update.event_id is not UNSET:
        raise _wrong("runs", "a heartbeat lists its runs: [{run_id, attempt}]")
    count = len(update.runs)
    if count > limits.HEARTBEAT_RUNS:
        raise _wrong("runs", f"{count} runs: at most {limits.HEARTBEAT_RUNS}")
    routed = Routed()
    for run in update.runs:
        run_id = _run_id(run.run_id)
        attempt = _attempt(run.attempt, required=True)
        home = keys.partition_of_run(run_id, partitions)
        command = Update(run_id, b"", HEARTBEAT, attempt, update.worker)
        routed.draft(home).commands.append(command)
    return routed


def _check(update: RunUpdate) -> None:
    """Refuse fields that are too long, or have no meaning with this status."""
    _check_length("worker", update.worker, limits.WORKER_CHARS)
    _check_length("step", update.step or "", limits.STEP_CHARS)
    if update.run_id is not UNSET and update.status == "running" and not update.worker:
        raise _wrong("worker", "a claim says whose it is")
    if update.until is not None and update.status != "sleeping":
        raise _wrong("until", "it is for sleeping only")
    if update.runs and update.status != HEARTBEAT:
        raise _wrong("runs", "it is for heartbeats only")
    if update.error is not None:
        if update.status != "failed":
            raise _wrong("error", "it is for failed only")
        _check_length("error.name", update.error.name, limits.ERROR_NAME_CHARS)
        size = len(update.error.message.encode())
        if size > limits.ERROR_MESSAGE_BYTES:
            raise _wrong("error.message", f"{size} bytes: at most {limits.ERROR_MESSAGE_BYTES}")


def _run_id(text: object) -> bytes:
    try:
        return keys.run_id_bytes(str(text))
    except ValueError as error:
        raise RejectedError("bad_run_id", str(error)) from None


def _event_key(update: RunUpdate) -> bytes:
    """The key of the run's event, for a worker that doesn't know the run's id."""
    function_id, event_id = update.function_id, update.event_id
    if not function_id or not event_id:
        raise RejectedError("no_run", "run_id is needed, or both function_id and event_id")
    _check_length("function_id", function_id, limits.SLUG_CHARS)
    _check_length("event_id", event_id, limits.EVENT_ID_CHARS)
    return keys.event_key(function_id, event_id)


def _attempt(attempt: object, *, required: bool) -> int:
    if attempt is UNSET and not required:
        return 0
    if type(attempt) is not int or not 1 <= attempt <= _LARGEST_ATTEMPT:
        raise RejectedError("bad_attempt", "attempt: the run's, from 1, is needed with a run id")
    return attempt


def _until(update: RunUpdate) -> int:
    if update.status != "sleeping":
        return 0
    if update.until is None or not 0 < update.until < TIME_END_MS:
        raise RejectedError("bad_until", "until: when to wake, in ms since 1970, is needed")
    return update.until


def _check_length(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise _wrong(field, f"{len(text)} characters: at most {most}")


def _wrong(field: str, message: str) -> RejectedError:
    return RejectedError("bad_update", f"{field}: {message}")
