"""API keys: made, shown once, revoked."""

from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from ulid_transform import ulid_now

from streams.dashboard.calls import Document, RefusedCallError
from streams.dashboard.fields import FormErrors
from streams.dashboard.pages.listing import next_page
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
ROLES: Final = ("sender", "viewer", "operator", "admin")


@pages.get("/keys")
async def list_(visit: Visit) -> Response:
    """All keys, the newest first."""
    return await _page(visit)


@pages.post("/keys")
async def create(visit: Visit) -> Response:
    """Make a key; the answer is the only page that ever shows it."""
    body: Document = {"name": visit.form.get("name", ""), "role": visit.form.get("role", "")}
    body |= visit.typed("reason")
    try:
        made = await visit.calls.post("/v1/keys", body, visit.form.get("once"))
    except RefusedCallError as error:
        return await _page(visit, errors=FormErrors.of(error))
    return await _page(visit, made=made["data"])


@pages.post("/keys/{key_id}/revoke")
async def revoke(visit: Visit) -> Response:
    """Let a key call no more."""
    await visit.calls.delete(f"/v1/keys/{visit.request.path_params['key_id']}")
    return visit.go("/keys?note=revoked")


async def _page(
    visit: Visit, *, made: Document | None = None, errors: FormErrors | None = None
) -> Response:
    found = await visit.calls.get("/v1/keys", cursor=visit.query.get("cursor"), limit=100)
    return visit.page(
        "keys.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        found=found,
        made=made,
        errors=errors or FormErrors(),
        typed=visit.form,
        roles=ROLES,
        next=next_page(visit, found),
        note=visit.query.get("note"),
        once=ulid_now(),
    )
