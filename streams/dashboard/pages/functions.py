"""Functions: a list, and one with its versions, its rules, what waits, and its pause."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from streams.dashboard.calls import Document, RefusedCallError
from streams.dashboard.fields import FormErrors, instant
from streams.dashboard.pages.listing import by_status, next_page
from streams.dashboard.pages.plots import plots
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
PATH: Final = "/functions/{slug}"
_REPLAY_FIELDS: Final = ("from", "to", "spread", "name", "reason")
REPLAYABLE: Final = ("cancelled", "skipped", "failed")


@pages.get("/functions")
async def list_(visit: Visit) -> Response:
    """Functions by their slugs."""
    found = await visit.calls.get("/v1/functions", cursor=visit.query.get("cursor"), limit=100)
    return visit.page("functions.html", found=found, next=next_page(visit, found))


@pages.get(PATH)
async def show(visit: Visit) -> Response:
    """One function."""
    return await _page(visit)


@pages.post(PATH + "/pause")
async def pause(visit: Visit) -> Response:
    """Start no more runs of it."""
    slug = visit.request.path_params["slug"]
    body: dict[str, Any] = {"running": visit.form.get("running", "")}
    body |= visit.typed("reason")
    if body["running"] == "later":
        body["after"] = visit.form.get("after", "").strip()
    try:
        await visit.calls.post(f"/v1/functions/{slug}/pause", body, visit.form.get("once"))
    except RefusedCallError as error:
        return await _page(visit, pause_errors=FormErrors.of(error))
    return visit.go(f"/functions/{slug}?note=paused")


@pages.post(PATH + "/resume")
async def resume(visit: Visit) -> Response:
    """End its pause."""
    slug = visit.request.path_params["slug"]
    body = visit.typed("reason")
    await visit.calls.post(f"/v1/functions/{slug}/resume", body, visit.form.get("once"))
    return visit.go(f"/functions/{slug}?note=resumed")


@pages.post(PATH + "/replay")
async def replay(visit: Visit) -> Response:
    """Run cancelled, skipped or failed runs of a range again; or only count them."""
    slug = visit.request.path_params["slug"]
    typed = {name: visit.form.get(name, "").strip() for name in _REPLAY_FIELDS}
    body = {name: value for name, value in typed.items() if value}
    body |= {name: instant(typed[name]) for name in ("from", "to")}
    chosen = [status for status in REPLAYABLE if visit.form.get(f"status_{status}")]
    asked = body | {
        "function_id": slug,
        "statuses": chosen,
        "dry_run": visit.form.get("step") == "count",
    }
    try:
        found = await visit.calls.post("/v1/replays", asked, visit.form.get("once"))
    except RefusedCallError as error:
        return await _page(visit, replay_errors=FormErrors.of(error))
    return visit.go(f"/replays/{found['data']['id']}")


async def _page(
    visit: Visit,
    *,
    pause_errors: FormErrors | None = None,
    replay_errors: FormErrors | None = None,
) -> Response:
    slug = visit.request.path_params["slug"]
    visit.path = f"/functions/{slug}"
    answer = await visit.calls.get(f"/v1/functions/{slug}", deleted=True)
    function: Document = answer["data"]
    counts = await visit.calls.get("/v1/runs/counts", function_id=slug)
    status = (pause_errors or replay_errors or FormErrors()).status
    return visit.page(
        "function.html",
        status or HTTPStatus.OK,
        function=function,
        metadata=answer["metadata"],
        counts=by_status(counts["data"]),
        charts=await plots(visit, slug),
        versions=_with_differences(function["versions"]),
        pause_errors=pause_errors or FormErrors(),
        replay_errors=replay_errors or FormErrors(),
        typed=visit.form,
        replayable=REPLAYABLE,
        note=visit.query.get("note"),
        once=visit.once(status),
    )


def _with_differences(
    versions: list[Mapping[str, Any]],
) -> list[tuple[Mapping[str, Any], list[tuple[str, Any, Any]]]]:
    """Each version, the newest first, with the fields in which it differs from the one before."""
    older = [version["definition"] for version in versions[1:]] + [{}]
    return [
        (version, _differences(before, version["definition"]) if before else [])
        for version, before in zip(versions, older, strict=True)
    ]


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted(before.keys() | after.keys())
    return [
        (name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]
