"""Problems of the API (RFC 9457) as the project's errors: what is wrong, where, and what to do."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from streams.errors import CountermandError, NotFoundError, RefusedError, UnreachableError

_KEYS: Final = "set COUNTERMAND_API_KEY; `countermand keys create` makes keys, `up` prints one"
_WHAT_TO_DO: Final = {
    "key_missing": _KEYS,
    "key_invalid": _KEYS,
    "role_too_low": "use a key with that role",
    "function_not_found": "`countermand functions list` shows those there are",
    "cancellation_not_found": "`countermand cancellations list` shows those there are",
    "replay_not_found": "`countermand replays list` shows those there are",
    "already_replayed": "`countermand replays show` with its id shows how far it is",
    "run_not_found": "`countermand runs list` shows those there are",
    "route_not_found": "is COUNTERMAND_API_URL or --api-url another server, or another release?",
}
_REFUSALS: Final = frozenset({400, 401, 403, 409, 413, 415, 422})
_UNANSWERED: Final = frozenset({502, 503, 504})
# What people type for fields that are called otherwise.
_FLAGS: Final = {
    "app_id": "app",
    "function_id": "function",
    "started_after": "after",
    "started_before": "before",
    "received_after": "after",
    "received_before": "before",
    "statuses": "status",
    "cancellation_id": "cancellation",
    "replay_id": "replay",
}
_SHOWN_BEFORE: Final = 50
_SHOWN_AFTER: Final = 30


def problem_error(status: int, text: str, sent: Mapping[str, Any], url: str) -> CountermandError:
    """The error of an answer that is no success.

    Args:
        status: The answer's status.
        text: Its body: a problem, unless something else answers there.
        sent: The members of the body, or the parameters, that were sent.
        url: Where the API should be.
    """
    problem = _problem(text)
    if problem is None:
        message = (
            f"{url} answers {status}, but not as Countermand's API does: look at "
            "COUNTERMAND_API_URL or --api-url"
        )
    else:
        message = _message(problem, sent)
    return _kind(status, problem or {})(message)


def _kind(status: int, problem: Mapping[str, Any]) -> type[CountermandError]:
    if status in _UNANSWERED:
        return UnreachableError
    if not problem or problem.get("code") == "route_not_found":
        return CountermandError
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError
    return RefusedError if status in _REFUSALS else CountermandError


def _problem(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "detail" in found else None


def _message(problem: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    errors = problem.get("errors") or []
    lines = [line for error in errors for line in _field(error, sent)] or [str(problem["detail"])]
    what_to_do = _WHAT_TO_DO.get(problem.get("code", ""))
    if what_to_do is not None:
        lines[-1] += f": {what_to_do}"
    if problem.get("status") == HTTPStatus.INTERNAL_SERVER_ERROR:
        lines[-1] += f" (request_id {problem.get('request_id')})"
    return "\n".join(lines)


def _field(error: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one wrong field; an expression is shown with its place."""
    pointer = str(error.get("pointer", "")).lstrip("/")
    name = str(error.get("parameter") or pointer).replace(".", "/").split("/", maxsplit=1)[0]
    yield f"{_flag(name, sent)}: {error['detail']}" if name else str(error["detail"])
    expression, position = sent.get(name), error.get("position")
    if isinstance(expression, str) and isinstance(position, int):
        yield from _pointed(expression, position)


def _flag(name: str, sent: Mapping[str, Any]) -> str:
    """The flag that gives a field; an id that isn't sent as a field is an argument."""
    if name.endswith("_id") and name not in sent:
        return name.upper()
    return "--" + _FLAGS.get(name, name).replace("_", "-")


def _pointed(text: str, position: int) -> Iterator[str]:
    """The line of a text that has a position, and a mark under it."""
    begin = text.rfind("\n", 0, position) + 1
    line, column = text[begin:].split("\n", maxsplit=1)[0], position - begin
    first = max(0, column - _SHOWN_BEFORE)
    yield "    " + line[first : column + _SHOWN_AFTER]
    yield "    " + " " * (column - first) + "^"
