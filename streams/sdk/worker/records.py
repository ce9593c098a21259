"""What a worker takes of the records of `runs`, `steps` and `cancelled`: pure.

Whatever lies on a topic, each function here returns a record that is as it should be, or raises
`CodecError`. The reader then ignores the record and counts it (S38, `ignored`).
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import orjson
from msgspec import UNSET

from streams.sdk.cancelled_run import CancelledRun, read_cancelled
from topology import codec, keys, limits
from topology.codec import CodecError
from topology.records import RunRecord, StepRecord
from topology.statuses import Status

Data: TypeAlias = bytes | str | None
Headers: TypeAlias = Sequence[tuple[str, bytes | None]] | None
_SLUG: Final = "function-id"
_STATUSES: Final = frozenset(status.value for status in Status)
_LARGEST_ATTEMPT: Final = 2**31 - 1


def slug_of(headers: Headers) -> str:
    """The function's slug in the headers of a record of `runs` or `cancelled`; empty if missing."""
    slug = dict(headers or ()).get(_SLUG)
    return slug.decode(errors="replace") if isinstance(slug, bytes) else ""


def run_id_of(key: Data) -> str:
    """The run of a record of `runs`, by the record's key.

    Raises:
        CodecError: The key is no run's id.
    """
    text = key.decode(errors="replace") if isinstance(key, bytes) else ""
    _check(_is_run_id(text), "the key is no run's id")
    return text


def read_run(key: Data, value: Data) -> RunRecord:
    """Decode a record of `runs` that is no tombstone.

    Raises:
        CodecError: It is no such record.
    """
    record = codec.decode_json(_bytes(value), RunRecord)
    _check(record.run_id == run_id_of(key), "the key isn't the run's id")
    _check(record.status in _STATUSES, "the status is none of a run's")
    _check(0 <= record.attempt <= _LARGEST_ATTEMPT, "the attempt is out of range")
    _check(not record.dispatch or record.attempt > 0, "a dispatch has an attempt")
    _check(len(record.function_id) <= limits.SLUG_CHARS, "the function's slug is too long")
    return record


def step_of(key: Data) -> tuple[str, str]:
    """The run and the step of a record of `steps`, by the record's key.

    Raises:
        CodecError: The key isn't of the form `<run id>/<step>`.
    """
    try:
        run_id, slash, step = _bytes(key).decode().partition("/")
    except UnicodeDecodeError as error:
        raise CodecError(f"the key is no text: {error.reason}") from None
    _check(bool(slash) and _is_run_id(run_id), "the key is no run's id and step")
    return run_id, step


def read_step(key: Data, value: Data) -> StepRecord:
    """Decode a record of `steps` that is no tombstone.

    Raises:
        CodecError: It is no such record.
    """
    record = codec.decode_json(_bytes(value), StepRecord)
    _check(step_of(key) == (record.run_id, record.step), "the key isn't that of the run's step")
    outcomes = record.result, record.error, record.wake_at
    _check(sum(one is not UNSET for one in outcomes) == 1, "a step has one outcome")
    _check(0 < record.attempt <= _LARGEST_ATTEMPT, "the attempt is out of range")
    if record.wake_at is not UNSET:
        _check(abs(record.wake_at) < keys.TIME_END_MS, "a sleep's end is out of range")
    if record.result is not UNSET:
        try:
            orjson.loads(bytes(record.result))
        except orjson.JSONDecodeError as error:
            raise CodecError(f"the result can't be read: {error}") from None
    return record


def read_cancellation(headers: Headers, value: Data) -> CancelledRun:
    """Decode a record of `cancelled`.

    Raises:
        CodecError: It is no such record.
    """
    run = read_cancelled(_bytes(value))
    _check(run.function_id == slug_of(headers), "its header names another function")
    return run


def has_stopped(key: Data, value: Data) -> bool:
    """Whether a record of `runs` has `stopped_at`, or is a tombstone.

    Raises:
        CodecError: It is no such record.
    """
    return value is None or read_run(key, value).stopped_at is not None


def _is_run_id(text: str) -> bool:
    try:
        return keys.run_id_text(keys.run_id_bytes(text)) == text
    except ValueError:
        return False


def _bytes(data: Data) -> bytes:
    _check(isinstance(data, bytes), "there are no bytes")
    assert isinstance(data, bytes), "it was just checked"
    return data


def _check(condition: bool, otherwise: str) -> None:  # noqa: FBT001  # an assertion's condition
    if not condition:
        raise CodecError(otherwise)
