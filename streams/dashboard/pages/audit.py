"""Audit: who wrote what, when and why."""

from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from streams.dashboard.calls import RefusedCallError
from streams.dashboard.fields import FormErrors, instant
from streams.dashboard.pages.listing import next_page
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
_TEXTS: Final = ("actor", "action", "target")
_TIMES: Final = ("after", "before")


@pages.get("/audit")
async def list_(visit: Visit) -> Response:
    """Writes, the newest first."""
    typed = {name: visit.query.get(name, "") for name in (*_TEXTS, *_TIMES)}
    asked: dict[str, Any] = {name: typed[name] for name in _TEXTS}
    asked |= {name: instant(typed[name]) for name in _TIMES}
    found, errors, status = None, FormErrors(), int(HTTPStatus.OK)
    try:
        found = await visit.calls.get(
            "/v1/audit", **asked, cursor=visit.query.get("cursor"), limit=50
        )
    except RefusedCallError as error:
        errors, status = FormErrors.of(error), error.status
    return visit.page(
        "audit.html",
        status,
        found=found,
        errors=errors,
        typed=typed,
        next=next_page(visit, found),
    )
