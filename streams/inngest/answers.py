"""What an app answers to a call: that steps happened or are to come, or how its function ended.

An answer is the outcome of a step of Countermand's SDK, so it is kept as JSON; from the answers of
a run follows where it is (`streams/inngest/drive.py`). Statuses and operations are those of the
SDKs for TypeScript (3 and 4), Python and Go.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from topology.records import Json

_SDK: Final = "x-inngest-sdk"
_HANDLED: Final = "x-inngest-sdk-handled"
_ERROR_CHARS: Final = 500
# They do nothing, or what they ask for is done after every answer.
_IDLE_OPS: Final = frozenset({"None", "DiscoveryRequest"})
RUN: Final = frozenset({"StepRun", "Step"})
ERROR: Final = "StepError"
FAILED: Final = "StepFailed"
PLANNED: Final = "StepPlanned"
SLEEP: Final = "Sleep"
COMPLETE: Final = "RunComplete"
KNOWN_OPS: Final = RUN | {ERROR, FAILED, PLANNED, SLEEP, COMPLETE}


class Options(Struct):
    """The options of an operation that mean something here."""

    duration: str | None = None
    parallel_mode: str | None = msgspec.field(default=None, name="parallelMode")


class Operation(Struct, omit_defaults=True):
    """One thing that an app tells of a step, by the step's hashed id."""

    op: str
    id: str = ""
    name: str | None = None
    display_name: str | None = msgspec.field(default=None, name="displayName")
    opts: Options | None = None
    data: Any = None
    error: Any = None

    @property
    def shown(self) -> str:
        """The step's name as its function has it."""
        return self.display_name or self.name or self.id

    @property
    def is_race(self) -> bool:
        """Whether the function goes on as soon as one of several steps has ended."""
        return self.opts is not None and self.opts.parallel_mode == "race"

    @property
    def until(self) -> str:
        """The end of a sleep, or how long it takes."""
        return (self.opts and self.opts.duration) or self.name or ""


class Answer(Struct, omit_defaults=True):
    """An app's answer to a call, or what stands for one that didn't come.

    Attributes:
        at: When it came, in ms since 1970.
        operations: What happened in the function; None if it has ended, or the call failed.
        error: Why the call failed; None if it didn't.
        again: Whether a failed call may be made again.
        after: When, if the app says it: seconds, or an instant.
        version: How the app wants to be asked about parallel steps; None if it doesn't say.
    """

    at: int
    operations: list[Operation] | None = None
    error: Json = None
    again: bool = True
    after: str | None = None
    version: int | None = None

    @property
    def failed(self) -> bool:
        """Whether the call failed, or a step in it did that may be tried again."""
        steps = self.operations or ()
        return self.error is not None or any(one.op == ERROR for one in steps)

    @property
    def title(self) -> str:
        """The name of the step that was executed; empty if none was, or it is tried again."""
        ended = (one.shown for one in self.operations or () if one.op in RUN or one.op == FAILED)
        return next(ended, "")

    @property
    def has_ended(self) -> bool:
        """Whether the function has returned."""
        return self.operations is None and self.error is None


class Response(Struct, frozen=True):
    """What came over HTTP; `headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def sdk(self) -> str:
        """The SDK that gave it, such as `inngest-js:v4.24.0`; empty if none did."""
        return self.headers.get(_SDK, "")


def unwrapped(response: Response) -> Response:
    """The response that is the last part of a streamed one; any other as it is.

    Raises:
        ValueError: It is to be a streamed one, and has no such part.
    """
    if response.status != HTTPStatus.CREATED or not response.sdk:
        return response
    streamed = _decoded(response.body, _Streamed)
    if streamed is None:
        raise ValueError("a streamed answer ends with status, headers and body")
    inner = {name.lower(): text for name, text in streamed.headers.items()}
    return Response(streamed.status, {**inner, _SDK: response.sdk}, streamed.bytes)


def read_answer(response: Response, at: int) -> Answer:
    """Read an app's answer, which came at a time (ms)."""
    if not response.sdk:
        return _from_elsewhere(response, at)
    return _read(response, at)


def failure(name: str, message: str, at: int, *, again: bool = True) -> Answer:
    """What stands for an answer that can't be used."""
    return Answer(at, error={"name": name, "message": message[:_ERROR_CHARS]}, again=again)


class _Streamed(Struct):
    """The last part of a streamed answer; Go has any value as its body, the others JSON as text."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}

    @property
    def bytes(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


def _from_elsewhere(response: Response, at: int) -> Answer:
    """An answer that no SDK gives: of a proxy, or of an SDK that doesn't take the signature."""
    refused = response.status == HTTPStatus.UNAUTHORIZED
    if refused and response.headers.get(_HANDLED) == "true":
        message = "the app takes this signing key or this clock for wrong: compare both"
        return failure("Unauthorized", message, at)
    message = f"{response.status}, and not from an Inngest SDK: {_shown(response.body)}"
    return failure("NotAnSdk", message, at)


def _read(response: Response, at: int) -> Answer:
    status, headers, body = response.status, response.headers, response.body
    version = headers.get("x-inngest-req-version", "")
    number = int(version) if version.isdecimal() and len(version) == 1 else None
    again = headers.get("x-inngest-no-retry") != "true"
    after = headers.get("retry-after")
    if status == HTTPStatus.OK:
        return Answer(at, version=number)
    if status == HTTPStatus.PARTIAL_CONTENT:
        operations = _operations(body)
        if operations is None:
            return failure("BadAnswer", "status 206, and no list of operations", at)
        return Answer(at, operations, again=again, after=after, version=number)
    error = _decoded(body, dict[str, Any])
    if error is None:
        error = {"name": "Error", "message": f"{status}: {_shown(body)}"}
    return Answer(at, error=error, again=again, after=after, version=number)


def _operations(body: bytes) -> list[Operation] | None:
    """The operations in an answer but idle ones; the oldest SDKs send one alone."""
    found = _decoded(body, list[Operation])
    if found is None:
        one = _decoded(body, Operation)
        found = None if one is None else [one]
    return None if found is None else [one for one in found if one.op not in _IDLE_OPS]


def _shown(body: bytes) -> str:
    return body[:_ERROR_CHARS].decode(errors="replace")


def _decoded(body: bytes, kind: Any) -> Any:  # noqa: ANN401  # a value of that kind, or None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
