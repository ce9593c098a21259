"""The OpenAPI document: what FastAPI makes of the routes, with our problems and our keys."""

import re
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from streams.api.operations import SCHEME
from streams.versions import installed_version

VERSION: Final = installed_version()
DESCRIPTION: Final = """\
Cancels pending work: runs of functions that Kafka events start.

- Times are RFC 3339 in UTC; bounds are exclusive. Ids are ULIDs.
- A success answers `{"data": …, "metadata": {"fetched_at": …}}`; a list has `next_cursor` there.
- An error answers an RFC 9457 problem: `code` is for programs, `errors` has every wrong field.
- A `POST` with the header `Idempotency-Key` may be sent again: it is done once.
- What writes answers after Kafka has acknowledged it.
- Keys are made by `countermand keys create` or `POST /v1/keys`; send
  `Authorization: Bearer cmk_…`. A key's role says what it may do: `sender` sends events, `viewer`
  reads, `operator` does both and cancels, pauses and replays, `admin` does everything.
"""
TAGS: Final = (
    {"name": "cancellations", "description": "Cancel runs by function, time and expression."},
    {"name": "runs", "description": "Search runs, cancel one."},
    {"name": "functions", "description": "Definitions; pause and resume."},
    {"name": "replays", "description": "Run cancelled, skipped or failed runs again."},
    {"name": "events", "description": "Produce events."},
    {"name": "dead letters", "description": "Records that could not be taken; send them again."},
    {"name": "activity", "description": "How many runs were scheduled, started and ended when."},
    {"name": "audit", "description": "Who did what."},
    {"name": "keys", "description": "Who may call."},
    {"name": "read model", "description": "How old the copy of Kafka is that is shown."},
    {"name": "system", "description": "Who is at work, on what, and how far behind."},
    {"name": "health", "description": "For orchestrators and Prometheus; without a key."},
)
_CAPITAL: Final = re.compile("[A-Z]")
_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457.",
    "example": {
        "type": "urn:countermand:problem:invalid_request",
        "title": "Invalid request",
        "status": 400,
        "detail": "started_before is required",
        "instance": "/v1/cancellations",
        "code": "invalid_request",
        "error": "started_before is required",
        "request_id": "01HMRMPE5ZQ4AMNJ3S2N79QGRZ",
        "errors": [
            {
                "code": "required",
                "detail": "started_before is required",
                "pointer": "/started_before",
            }
        ],
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "error", "request_id"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": _TEXT | {"description": "The path."},
        "code": _TEXT | {"description": "For programs; never changes."},
        "error": _TEXT | {"description": "The same as detail."},
        "request_id": _TEXT,
        "replay_id": _TEXT | {"description": "Of `already_replayed`: the replay that did it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "code": _TEXT,
                    "detail": _TEXT,
                    "pointer": _TEXT | {"description": "The field in the body (RFC 6901)."},
                    "parameter": _TEXT | {"description": "The parameter or header."},
                    "position": {"type": "integer", "description": "Where in an expression."},
                },
            },
        },
    },
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an app, made by the first call."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = _PROBLEM
        made["components"]["securitySchemes"] = {
            SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key: `cmk_…`."}
        }
        for path in made["paths"].values():
            for operation in path.values():
                operation["summary"] = _words(operation["operationId"])
                _forget_default(operation["responses"])
        app.openapi_schema = made
    return app.openapi_schema


def _words(operation_id: str) -> str:
    """An operation's id for people: `createCancellation` is `Create cancellation`."""
    return _CAPITAL.sub(lambda found: f" {found[0].lower()}", operation_id).capitalize()


def _forget_default(responses: dict[str, Any]) -> None:
    """Remove FastAPI's own 422 where the route doesn't declare one."""
    content = responses.get("422", {}).get("content", {})
    if "application/json" in content:
        del responses["422"]
