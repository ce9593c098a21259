"""Errors as RFC 9457 problems: one shape for every refusal and failure.

`error` repeats `detail`, which scripts written for Inngest read; `code` is for programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from streams import logs
from streams.errors import CountermandError, UnreachableError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
_TYPE: Final = "urn:countermand:problem:"
# Where Inngest answers 400 to a wrong field; everywhere else it is 422.
_BAD_REQUEST_PREFIXES: Final = ("/v1/cancellations", "/v1/runs")
_RESERVED: Final = {"from_": "from", "if_": "if"}
# As nginx logs it.
_CALLER_GONE: Final = 499
_HTTP_CODES: Final = {
    HTTPStatus.NOT_FOUND: "route_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
}


_limiter: Final = logs.Limiter()
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: in the body by its JSON pointer, elsewhere by the parameter's name."""

    code: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None
    position: int | None = None

    def document(self) -> dict[str, Any]:
        """Its members in the answer, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class ProblemError(CountermandError):
    """A refusal or failure to answer with, raised by any function that serves a call."""

    def __init__(  # noqa: PLR0913  # each is one independent part of the answer
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        """An answer of `status`; `members` are further ones of its document."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def answer(self, path: str, request_id: str) -> Response:
        """The HTTP answer."""
        document: dict[str, Any] = {
            "type": _TYPE + self.code,
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
            "error": self.detail,
            "request_id": request_id,
            **self.members,
        }
        if self.errors:
            document["errors"] = [error.document() for error in self.errors]
        return Response(orjson.dumps(document), self.status, self.headers, MEDIA_TYPE)


def validation_status(path: str) -> int:
    """The status of an answer to wrong fields."""
    bad_request = path.startswith(_BAD_REQUEST_PREFIXES)
    return HTTPStatus.BAD_REQUEST if bad_request else HTTPStatus.UNPROCESSABLE_ENTITY


def invalid(path: str, errors: Sequence[FieldError]) -> ProblemError:
    """The problem of wrong fields, all of them at once."""
    detail = "\n".join(error.detail for error in errors)
    return ProblemError(validation_status(path), "invalid_request", detail, errors=errors)


def unavailable(code: str, detail: str) -> ProblemError:
    """The problem of Kafka or the database not answering: 503, to be tried again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers=headers)


def caller_gone() -> ProblemError:
    """The problem of a caller who went; nobody sees it but the log and the audit trail."""
    detail = "The caller went before the call was answered"
    return ProblemError(_CALLER_GONE, "caller_gone", detail)


def as_problem(error: Exception, path: str) -> ProblemError | None:
    """The problem to answer an error with; None for a defect of Countermand."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid(path, [_field_error(found) for found in error.errors()])
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, UnreachableError):
        return unavailable("kafka_unavailable", str(error))
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError) or _is_lost(error):
        _tell(error)
        return unavailable("database_unavailable", "The database doesn't answer: try again")
    return None


def _is_lost(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _tell(error: Exception) -> None:
    """Log why, once a minute, in the driver's words: SQLAlchemy's have the values of the call."""
    suppressed = _limiter.admit("database")
    if suppressed is not None:
        reason = error.orig if isinstance(error, DBAPIError) else type(error).__name__
        log.warning("The database doesn't answer", error=str(reason), suppressed=suppressed)


def _of_framework(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    code = _HTTP_CODES.get(status, status.phrase.lower().replace(" ", "_"))
    return ProblemError(status, code, str(error.detail), headers=error.headers)


def _field_error(found: Mapping[str, Any]) -> FieldError:
    """An error of pydantic's, named by the field in the request."""
    place, *path = found["loc"]
    if found["type"] != "extra_forbidden":  # a default's place is named as Python has to name it
        path = [_RESERVED.get(part, part) for part in path]
    pointer = "".join(f"/{_escaped(part)}" for part in path)
    name = ".".join(str(part) for part in path) or "the body"
    code, detail = _words(found, name)
    position = found.get("ctx", {}).get("position")
    if place == "body":
        return FieldError(code, detail, pointer=pointer, position=position)
    return FieldError(code, detail, parameter=str(path[0]), position=position)


def _words(found: Mapping[str, Any], name: str) -> tuple[str, str]:
    """The code of an error of pydantic's, and its message."""
    kind, message = found["type"], found["msg"]
    if kind == "missing" or (kind == "string_too_short" and found["input"] == ""):
        return "required", f"{name} is required"
    if kind == "extra_forbidden":
        return "unknown_field", f"{name} is not known here: is it misspelt?"
    if kind == "expression":
        return kind, message
    detail = message.replace("Input", name, 1) if "Input" in message else f"{name} {message}"
    return kind, detail


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
