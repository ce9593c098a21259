"""Events and cancelled runs, as user code gets them."""

from dataclasses import dataclass
from typing import Any

import msgspec

from topology import keys
from topology.codec import CodecError
from topology.statuses import Status


@dataclass(frozen=True, slots=True)
class Event:
    """An event that an application sent.

    Attributes:
        name: The kind of event, such as `report/generation.requested`.
        id: The event's id; repeats of an event have the same.
        ts: The sender's time, else that of receipt, in ms since 1970.
        data: The event's own data, a JSON object.
        user: The user for whom the event was sent, usually an object; None if not given.
    """

    name: str
    id: str
    ts: int
    data: dict[str, Any]
    user: Any = None


@dataclass(frozen=True, slots=True)
class CancelledRun:
    """A run that was cancelled; the same run may be passed twice, so handle each `run_id` once.

    Attributes:
        run_id: The run: a ULID.
        function_id: The slug of its function.
        event: The event that triggered the run.
        cause: Why the run was cancelled: `type` is event, api, cancellation, start_timeout,
            finish_timeout or pause; the rest is as in the data of `function.cancelled`.
        status_before: scheduled, running or sleeping; a running one's step may still be executing.
        last_step: The last step that the run had completed; None if none.
        attempt: How often the run had been dispatched.
        stopped: Whether no step of it executes any more. False: nobody has said so yet, or, in a
            cleanup, nobody did in time, and the run has no lease.
    """

    run_id: str
    function_id: str
    event: Event
    cause: dict[str, Any]
    status_before: str
    last_step: str | None
    attempt: int
    stopped: bool = True


def read_cancelled(value: bytes) -> CancelledRun:
    """Decode the value of a record of topic `cancelled`.

    Raises:
        CodecError: The bytes are no `function.cancelled` event; the message says why.
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
        stopped=data.run.status_before != Status.RUNNING,
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
