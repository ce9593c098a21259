"""How a route is declared: its id, who may call it, and every answer that it may give."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from streams.api.call.guard import ROLE
from streams.api.call.roles import Role
from streams.api.problems import MEDIA_TYPE

SCHEME: Final = "apiKey"
_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_MEANINGS: Final = {
    400: "A field or parameter is wrong; `errors` has all of them.",
    401: "The API key is missing or not valid.",
    403: "The key's role doesn't allow it.",
    404: "There is no such thing.",
    408: "The body didn't come in time.",
    409: "It contradicts what is there, or the Idempotency-Key's call is under way.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A field or parameter is wrong, or the Idempotency-Key came with another call.",
    503: "Kafka or the database doesn't answer: nothing was written, or its acknowledgement is "
    "missing; or too many calls search. Try again.",
}
_RETRY: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same call with the same key gets the same answer, for 24 h.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def operation(
    operation_id: str, role: Role, *problems: int, body: bool = False, repeatable: bool = False
) -> dict[str, Any]:
    """The keyword arguments of a route.

    Args:
        operation_id: Its id in the OpenAPI document, and the action in the audit trail.
        role: Who may call it: keys with a role that covers this one.
        problems: Statuses besides those that every such route may answer.
        body: Whether it takes a body.
        repeatable: Whether it takes an Idempotency-Key.
    """
    statuses = {401, 403, 503, *problems}
    if body:
        statuses |= {408, 413, 415}
    if repeatable:
        statuses |= {409, 422}
    extra: dict[str, Any] = {ROLE: role.value, "security": [{SCHEME: []}]}
    if repeatable:
        extra["parameters"] = [_KEY_HEADER]
    return {
        "operation_id": operation_id,
        "openapi_extra": extra,
        "responses": answers(sorted(statuses)),
    }


def answers(statuses: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The documented problems of a route."""
    return {status: _answer(status) for status in statuses}


def _answer(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _MEANINGS[status], "content": _PROBLEM}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        found["headers"] = _RETRY
    return found
