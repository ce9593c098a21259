"""Records of `run-updates` to commands (design 2.3): what a worker says about runs."""

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
    """The commands of one run update: at its home, or everywhere if only its event is known."""
    value = record.value or b""
    try:
        _refuse(len(value) > limit, "value", f"{len(value)} bytes: at most {limit}")
        update = codec.decode_update(value)
        _check(update)
        if update.status == HEARTBEAT:
            return _heartbeat(update, partitions)
        return _update(update, partitions)
    except (codec.CodecError, RecursionError) as error:
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
    """One command per run that the worker still has, at the run's home."""
    _refuse(not update.worker, "worker", "a heartbeat says whose it is")
    _refuse(
        update.run_id is not UNSET or update.event_id is not UNSET,
        "runs",
        "a heartbeat lists its runs: [{run_id, attempt}]",
    )
    count = len(update.runs)
    _refuse(count > limits.HEARTBEAT_RUNS, "runs", f"{count} runs: at most {limits.HEARTBEAT_RUNS}")
    routed = Routed()
    for run in update.runs:
        run_id = _run_id(run.run_id)
        attempt = _attempt(run.attempt, required=True)
        home = keys.partition_of_run(run_id, partitions)
        command = Update(run_id, b"", HEARTBEAT, attempt, update.worker)
        routed.draft(home).commands.append(command)
    return routed


def _check(update: RunUpdate) -> None:
    """Refuse what is too long, or stands where it means nothing."""
    length = len(update.worker)
    _refuse(length > limits.WORKER_CHARS, "worker", _too_long(length, limits.WORKER_CHARS))
    length = len(update.step or "")
    _refuse(length > limits.STEP_CHARS, "step", _too_long(length, limits.STEP_CHARS))
    by_run = update.run_id is not UNSET
    _refuse(
        by_run and update.status == "running" and not update.worker,
        "worker",
        "a claim says whose it is",
    )
    _refuse(
        update.until is not None and update.status != "sleeping", "until", "it is for sleeping only"
    )
    _refuse(bool(update.runs) and update.status != HEARTBEAT, "runs", "it is for heartbeats only")
    if update.error is not None:
        _refuse(update.status != "failed", "error", "it is for failed only")
        length = len(update.error.name)
        _refuse(
            length > limits.ERROR_NAME_CHARS,
            "error.name",
            _too_long(length, limits.ERROR_NAME_CHARS),
        )
        length = len(update.error.message.encode())
        _refuse(
            length > limits.ERROR_MESSAGE_BYTES,
            "error.message",
            f"{length} bytes: at most {limits.ERROR_MESSAGE_BYTES}",
        )


def _run_id(text: object) -> bytes:
    try:
        return keys.run_id_bytes(str(text))
    except ValueError as error:
        raise RejectedError("bad_run_id", str(error)) from None


def _event_key(update: RunUpdate) -> bytes:
    """By which event a worker knows its run, where it doesn't know the run's id."""
    function_id, event_id = update.function_id, update.event_id
    if not function_id or not event_id:
        raise RejectedError("no_run", "run_id is needed, or both function_id and event_id")
    length = len(function_id)
    _refuse(length > limits.SLUG_CHARS, "function_id", _too_long(length, limits.SLUG_CHARS))
    length = len(event_id)
    _refuse(length > limits.EVENT_ID_CHARS, "event_id", _too_long(length, limits.EVENT_ID_CHARS))
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


def _refuse(wrong: bool, field: str, message: str) -> None:  # noqa: FBT001 (a condition)
    if wrong:
        raise RejectedError("bad_update", f"{field}: {message}")


def _too_long(length: int, most: int) -> str:
    return f"{length} characters: at most {most}"
