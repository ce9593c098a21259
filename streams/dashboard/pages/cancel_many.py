"""Cancel many: choose, count exactly, commit.

The count is a dry run of the cancellation. What is committed has its bounds, frozen when it was
counted, its expression, and the count that was seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from ulid_transform import ulid_now

from streams.api.fields import time_text
from streams.api.problems import ProblemError
from streams.clock import now_ms
from streams.dashboard.calls import ApiCall, Document, RefusedCallError
from streams.dashboard.curl import curl
from streams.dashboard.fields import FormErrors, instant
from streams.dashboard.routing import Pages
from streams.dashboard.visit import ULID, Visit

pages = Pages()
PATH: Final = "/functions/{slug}/cancel"
_ROUTE: Final = "/v1/cancellations"
# Over so many runs, the function's name has to be typed.
TYPED_OVER: Final = 1_000
_TRIED: Final = 100
RANGES: Final = {
    "15m": ("the last 15 minutes", timedelta(minutes=15)),
    "1h": ("the last hour", timedelta(hours=1)),
    "24h": ("the last 24 hours", timedelta(hours=24)),
}
_BETWEEN: Final = "between"
_FIELDS: Final = ("range", "started_after", "started_before", "if", "name", "reason")


@dataclass(frozen=True, slots=True)
class Tried:
    """What an expression says to the newest runs of a function."""

    matching: int
    looked_at: int
    without_answer: int
    sample: list[Mapping[str, Any]]


@pages.get(PATH)
async def form(visit: Visit) -> Response:
    """The form; or, with `count`, what was counted and the way to commit it."""
    _check_allowed(visit)
    function = await _function(visit)
    id_ = visit.query.get("count")
    if id_ is None:
        return _form(visit, function, await _typed_before(visit))
    return await _counted(visit, function, id_)


@pages.post(PATH)
async def submit(visit: Visit) -> Response:
    """One of the form's buttons: try, count, or commit."""
    function = await _function(visit)
    match visit.form.get("step"):
        case "try":
            return await _try(visit, function)
        case "commit":
            return await _commit(visit, function)
        case _:
            return await _count(visit, function)


async def _try(visit: Visit, function: Document) -> Response:
    typed = _typed(visit)
    try:
        tried = await _tried(visit, function["function_id"], typed["if"])
    except RefusedCallError as error:
        return _form(visit, function, typed, refused=error)
    return _form(visit, function, typed, tried=tried)


async def _count(visit: Visit, function: Document) -> Response:
    """Begin to count what the form says."""
    typed = _typed(visit)
    body = _bounds(typed) | {
        "app_id": function["app_id"],
        "function_id": function["id"],
        "if": typed["if"] or None,
        "name": typed["name"].strip() or None,
        "reason": typed["reason"].strip() or None,
        "dry_run": True,
    }
    try:
        found = await visit.calls.post(_ROUTE, body, visit.form.get("once"))
    except RefusedCallError as error:
        return _form(visit, function, typed, refused=error)
    return visit.go(f"/functions/{function['function_id']}/cancel?count={found['data']['id']}")


async def _commit(visit: Visit, function: Document) -> Response:
    """Cancel what was counted."""
    count = await _count_of(visit, function, visit.form.get("count", ""))
    problem = _obstacle(visit, function, count)
    if problem is not None:
        return _confirm(visit, function, count, problem)
    try:
        found = await visit.calls.post(_ROUTE, _body(count), visit.form.get("once"))
    except RefusedCallError as error:
        problem = "; ".join(FormErrors.of(error).rest())
        return _confirm(visit, function, count, problem, error.status)
    return visit.go(f"/cancellations/{found['data']['id']}")


async def _counted(visit: Visit, function: Document, id_: str) -> Response:
    return _confirm(visit, function, await _count_of(visit, function, id_))


def _confirm(
    visit: Visit,
    function: Document,
    count: Document,
    problem: str | None = None,
    status: int | None = None,
) -> Response:
    refused = HTTPStatus.UNPROCESSABLE_ENTITY if problem is not None else HTTPStatus.OK
    return visit.page(
        "cancel_count.html",
        status or refused,
        function=function,
        count=count,
        problem=problem,
        typed_over=TYPED_OVER,
        command=curl(ApiCall("POST", _ROUTE, "", _body(count)), visit.origin),
        once=visit.once(status),
    )


def _body(count: Document) -> Document:
    """What cancels the runs of a count: the same range and expression, and the count itself."""
    names = ("app_id", "function_id", "started_after", "started_before", "if", "name", "reason")
    return {name: count[name] for name in names} | {"expected": count["counts"]["matched"]}


def _obstacle(visit: Visit, function: Document, count: Document) -> str | None:
    """Why a count can't be committed; None where it can."""
    matched = count["counts"]["matched"]
    if count["status"] != "done":
        return f"The count is {count['status']}: wait until it is done, or count again"
    if not matched:
        return "There is nothing to cancel: no unfinished run is in the range"
    typed = visit.form.get("confirm", "").strip()
    if matched > TYPED_OVER and typed != function["function_id"]:
        return (
            f"To cancel more than {TYPED_OVER:,} runs, type the function's name as it stands here"
        )
    return None


async def _count_of(visit: Visit, function: Document, id_: str) -> Document:
    """The dry run of a cancellation of this function.

    Raises:
        ProblemError: 404.
    """
    if ULID.fullmatch(id_) is not None:
        found: Document = (await visit.calls.get(f"/v1/cancellations/{id_}"))["data"]
        if found["dry_run"] and found["function_internal_id"] == function["function_id"]:
            return found
    detail = "There is no such count of this function: count again"
    raise ProblemError(HTTPStatus.NOT_FOUND, "count_not_found", detail)


async def _tried(visit: Visit, slug: str, expression: str) -> Tried:
    """Evaluate an expression on the newest runs of a function."""
    newest = await visit.calls.get("/v1/runs", function_id=slug, limit=_TRIED)
    runs = newest["data"]
    if not runs:
        return Tried(0, 0, 0, [])
    oldest = runs[-1]["run_id"]
    found = await visit.calls.get("/v1/runs", function_id=slug, limit=_TRIED, **{"if": expression})
    matching = [run for run in found["data"] if run["run_id"] >= oldest]
    return Tried(len(matching), len(runs), found["metadata"]["failed"], matching[:10])


async def _typed_before(visit: Visit) -> dict[str, str]:
    """The fields of the form at first: empty, or those of a count that shall be changed."""
    id_ = visit.query.get("from", "")
    if ULID.fullmatch(id_) is None:
        return dict.fromkeys(_FIELDS, "") | {"range": "1h"}
    count = (await visit.calls.get(f"/v1/cancellations/{id_}"))["data"]
    return {
        "range": _BETWEEN,
        **{name: count[name] or "" for name in _FIELDS[1:]},
    }


def _typed(visit: Visit) -> dict[str, str]:
    return {name: visit.form.get(name, "") for name in _FIELDS}


def _bounds(typed: Mapping[str, str]) -> dict[str, str | None]:
    """The range of a form as it is now: two times that stay."""
    chosen = RANGES.get(typed["range"])
    if chosen is not None:
        now = now_ms()
        after = now - round(chosen[1].total_seconds() * 1000)
        return {"started_after": time_text(after), "started_before": time_text(now)}
    return {
        "started_after": instant(typed["started_after"]) or None,
        "started_before": instant(typed["started_before"]),
    }


def _form(
    visit: Visit,
    function: Document,
    typed: Mapping[str, str],
    *,
    refused: RefusedCallError | None = None,
    tried: Tried | None = None,
) -> Response:
    """The form; `refused`: with what was wrong with it, `tried`: with what it has found."""
    return visit.page(
        "cancel_many.html",
        HTTPStatus.OK if refused is None else refused.status,
        function=function,
        typed=typed,
        errors=FormErrors() if refused is None else FormErrors.of(refused),
        tried=tried,
        ranges=RANGES,
        once=ulid_now(),
    )


async def _function(visit: Visit) -> Document:
    """The function that the address names, also a deleted one: its runs may be unfinished."""
    slug = visit.request.path_params["slug"]
    found: Document = (await visit.calls.get(f"/v1/functions/{slug}", deleted=True))["data"]
    return found


def _check_allowed(visit: Visit) -> None:
    """Go on only for who may cancel.

    Raises:
        ProblemError: 403.
    """
    if not visit.may.operate:
        detail = "Cancelling needs the role operator, and pages that aren't read-only"
        raise ProblemError(HTTPStatus.FORBIDDEN, "role_too_low", detail)
