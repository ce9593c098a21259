"""Runs: a list with filters in the address, and one run with all that is known of it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from ulid_transform import ulid_now

from streams.dashboard.calls import RefusedCallError
from streams.dashboard.fields import FormErrors, instant
from streams.dashboard.pages.listing import next_page
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
STATUSES: Final = (
    "Scheduled",
    "Running",
    "Sleeping",
    "Completed",
    "Failed",
    "Cancelled",
    "Skipped",
    "Expired",
)
# The fields of the filter by their names in the address, which are the API's.
_TEXTS: Final = ("function_id", "event_id", "cancellation_id", "replay_id", "if")
_TIMES: Final = ("received_after", "received_before", "ended_after", "ended_before")
_LIMIT: Final = 50


@pages.get("/runs")
async def list_(visit: Visit) -> Response:
    """The runs that pass the filter."""
    typed = {name: visit.query.get(name, "") for name in (*_TEXTS, *_TIMES)}
    statuses = visit.request.query_params.getlist("status")
    asked: dict[str, Any] = {name: typed[name] for name in _TEXTS}
    asked |= {name: instant(typed[name]) for name in _TIMES}
    asked |= {"status": statuses, "cursor": visit.query.get("cursor"), "limit": _LIMIT}
    found, errors, status = None, FormErrors(), int(HTTPStatus.OK)
    try:
        found = await visit.calls.get("/v1/runs", **asked)
    except RefusedCallError as error:
        errors, status = FormErrors.of(error), error.status
    return visit.page(
        "runs.html",
        status,
        found=found,
        errors=errors,
        typed=typed,
        statuses=statuses,
        all_statuses=STATUSES,
        next=next_page(visit, found),
    )


@pages.get("/runs/{run_id}")
async def show(visit: Visit) -> Response:
    """One run."""
    run_id = visit.ulid("run_id")
    found = await visit.calls.get(f"/v1/runs/{run_id}")
    run = found["data"]
    return visit.page(
        "run.html",
        run=run,
        metadata=found["metadata"],
        rules=await _rules(visit, run_id),
        note=visit.query.get("note"),
        once=ulid_now(),
    )


@pages.post("/runs/{run_id}/cancel")
async def cancel(visit: Visit) -> Response:
    """Cancel one run."""
    run_id = visit.ulid("run_id")
    reason = visit.typed("reason")["reason"]
    try:
        await visit.calls.delete(f"/v1/runs/{run_id}", reason=reason)
    except RefusedCallError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        return visit.go(f"/runs/{run_id}?note={error.code}")
    return visit.go(f"/runs/{run_id}?note=cancel_asked")


@pages.post("/runs/{run_id}/start-again")
async def start_again(visit: Visit) -> Response:
    """Run one run again."""
    run_id = visit.ulid("run_id")
    body: dict[str, Any] = {"run_id": run_id}
    body |= visit.typed("reason")
    try:
        found = await visit.calls.post("/v1/replays", body, visit.form.get("once"))
    except RefusedCallError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        return visit.go(f"/runs/{run_id}?note={error.code}")
    return visit.go(f"/replays/{found['data']['id']}")


async def _rules(visit: Visit, run_id: str) -> list[Mapping[str, Any]] | None:
    """What the run waits for; None where its version is kept no more."""
    try:
        found = await visit.calls.get(f"/v1/runs/{run_id}/rules")
    except RefusedCallError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    rules: list[Mapping[str, Any]] = found["data"]["rules"]
    return rules
