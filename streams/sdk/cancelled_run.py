"""Events, and runs that were cancelled, as a worker's code sees them."""

from dataclasses import dataclass
from typing import Any

import msgspec

from topology import keys
from topology.codec import CodecError


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody sent.

    Attributes:
        name: What happened, such as `report/generation.requested`.
        id: By which its repeats are known.
        ts: When, in ms since 1970, as the sender has it or else as it was received.
        data: What it is about.
        user: On whose behalf, if the sender says so: an object as a rule.
    """

    name: str
    id: str
    ts: int
    data: dict[str, Any]
    user: Any = None


@dataclass(frozen=True, slots=True)
class CancelledRun:
    """A run that was cancelled; handle each `run_id` once, since it may be told twice.

    Attributes:
        run_id: The run: a ULID.
        function_id: The slug of its function.
        event: What triggered it.
        cause: Why it was cancelled: `type` is event, api, cancellation, start_timeout,
            finish_timeout or pause; the rest is as in the data of `function.cancelled`.
        status_before: scheduled, running or sleeping; a running one's step may still be executing.
        last_step: The last step that it had completed, if any.
        attempt: How often it had been dispatched.
    """

    run_id: str
    function_id: str
    event: Event
    cause: dict[str, Any]
    status_before: str
    last_step: str | None
    attempt: int


def read_cancelled(value: bytes) -> CancelledRun:
    """The run of a record of topic `cancelled`.

    Raises:
        CodecError: the bytes are not such a record; the message says what is wrong with them.
    """
    try:
        data = _decoder.decode(value).data
        keys.run_id_bytes(data.run_id)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise CodecError(f"not a function.cancelled event: {error}") from error
    return CancelledRun(
        run_id=data.run_id,
        function_id=data.function_id,
        event=data.event,
        cause=data.cause,
        status_before=data.run.status_before,
        last_step=data.run.last_step,
        attempt=data.run.attempt,
    )


class _Run(msgspec.Struct):
    status_before: str
    attempt: int
    last_step: str | None = None


class _Data(msgspec.Struct):
    run_id: str
    function_id: str
    event: Event
    cause: dict[str, Any]
    run: _Run


class _FunctionCancelled(msgspec.Struct):
    data: _Data


_decoder = msgspec.json.Decoder(_FunctionCancelled)
