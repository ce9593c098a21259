"""Cancellations: a list, and one with its progress, its runs, and the ways to stop and undo it."""

from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from streams.dashboard.calls import Document, RefusedCallError
from streams.dashboard.fields import FormErrors
from streams.dashboard.pages.listing import next_page
from streams.dashboard.progress import Pace, pace
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
PATH: Final = "/cancellations/{cancellation_id}"
_OUTCOMES: Final = ("cancelled", "failed", "already_ended")


@pages.get("/cancellations")
async def list_(visit: Visit) -> Response:
    """Cancellations, the newest first."""
    slug = visit.query.get("function_id", "")
    found = await visit.calls.get(
        "/v1/cancellations", function_id=slug, cursor=visit.query.get("cursor"), limit=50
    )
    return visit.page(
        "cancellations.html", found=found, function_id=slug, next=next_page(visit, found)
    )


@pages.get(PATH)
async def show(visit: Visit) -> Response:
    """One cancellation."""
    return await _page(visit)


@pages.post(PATH + "/stop")
async def stop(visit: Visit) -> Response:
    """Let it cancel no more."""
    id_ = visit.ulid("cancellation_id")
    reason = visit.typed("reason")["reason"]
    await visit.calls.delete(f"/v1/cancellations/{id_}", reason=reason)
    return visit.go(f"/cancellations/{id_}?note=stopped")


@pages.post(PATH + "/start-again")
async def start_again(visit: Visit) -> Response:
    """Run again exactly what it cancelled; once."""
    id_ = visit.ulid("cancellation_id")
    body: dict[str, Any] = {"cancellation_id": id_} | visit.typed("reason", "spread")
    try:
        found = await visit.calls.post("/v1/replays", body, visit.form.get("once"))
    except RefusedCallError as error:
        return await _page(visit, error)
    return visit.go(f"/replays/{found['data']['id']}")


async def _page(visit: Visit, refused: RefusedCallError | None = None) -> Response:
    id_ = visit.ulid("cancellation_id")
    visit.path = f"/cancellations/{id_}"
    errors = FormErrors() if refused is None else FormErrors.of(refused)
    answer = await visit.calls.get(f"/v1/cancellations/{id_}")
    found: Document = answer["data"]
    outcome = visit.query.get("outcome", _OUTCOMES[0])
    runs = None
    if not found["dry_run"]:
        runs = await visit.calls.get(
            f"/v1/cancellations/{id_}/runs", outcome=outcome, cursor=visit.query.get("cursor")
        )
    return visit.page(
        "cancellation.html",
        errors.status or HTTPStatus.OK,
        cancellation=found,
        metadata=answer["metadata"],
        pace=_pace(found, answer["metadata"]["fetched_at"]),
        runs=runs,
        outcome=outcome,
        outcomes=_OUTCOMES,
        begun=await _begun(visit, found),
        errors=errors,
        undone_by=None if refused is None else refused.problem.get("replay_id"),
        next=None if runs is None else next_page(visit, runs),
        note=visit.query.get("note"),
        once=visit.once(errors.status),
    )


def _pace(found: Document, now: str) -> Pace:
    counts = found["counts"]
    done = counts["scanned"] if found["dry_run"] else counts["cancelled"]
    return pace(found["status"], done, found["expected"], found["created_at"], now)


async def _begun(visit: Visit, found: Document) -> Document | None:
    """How many of its runs had begun, where it can be undone."""
    if found["dry_run"] or not found["counts"]["cancelled"]:
        return None
    answer: Document = (await visit.calls.get(f"/v1/cancellations/{found['id']}/begun"))["data"]
    return answer
