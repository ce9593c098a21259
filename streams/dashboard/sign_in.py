"""Signing in with a key, or by a link that `countermand up` prints; and signing out."""

from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from streams.api.call.api_key import ApiKey
from streams.api.call.auth import require
from streams.api.call.keys import key_id
from streams.api.call.roles import Role
from streams.api.call.service import Service
from streams.api.problems import ProblemError
from streams.clock import now_ms
from streams.dashboard import sessions
from streams.dashboard.guesses import Guesses
from streams.dashboard.rendering import render
from streams.dashboard.routing import (
    COOKIE,
    PageRoute,
    Pages,
    answered,
    read_form,
    set_session,
    visitor_of,
)
from streams.dashboard.visit import Visit

PATH: Final = "/sign-in"
LINK_PATH: Final = "/sign-in/link"
_NO_KEY: Final = "-"

pages = Pages()


def routes() -> list[PageRoute]:
    """What is served to who isn't signed in, and the way out."""
    return [
        PageRoute(PATH, _form, methods=["GET"]),
        PageRoute(PATH, _sign_in, methods=["POST"]),
        PageRoute(LINK_PATH, _link, methods=["GET"]),
        PageRoute(LINK_PATH, _use_link, methods=["POST"]),
        *pages.routes,
    ]


@pages.post("/sign-out", writes=False)
async def sign_out(visit: Visit) -> Response:
    """End the session, here and in every other tab."""
    service: Service = visit.request.app.state.service
    await run_in_threadpool(sessions.end, service.engine, visit.session.token)
    answer = visit.go(PATH)
    answer.delete_cookie(COOKIE)
    return answer


async def _form(request: Request) -> Response:
    async def serve() -> Response:
        if await visitor_of(request) is not None:
            return RedirectResponse(_next(request.query_params.get("next")), HTTPStatus.SEE_OTHER)
        return _page(request.query_params.get("next"))

    return await answered(request, serve)


async def _sign_in(request: Request) -> Response:
    async def serve() -> Response:
        form = await read_form(request)
        text, to = form.get("key", "").strip(), form.get("next")
        service: Service = request.app.state.service
        try:
            key = await service.authenticator.caller(f"Bearer {text}")
        except ProblemError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            await _wait(request, key_id(text))
            return _page(to, "This key is unknown, wrong or revoked", HTTPStatus.UNAUTHORIZED)
        try:
            require(key, Role.VIEWER)
        except ProblemError as error:
            return _page(to, error.detail, HTTPStatus.FORBIDDEN)
        return await _signed_in(request, key, to)

    return await answered(request, serve)


async def _link(request: Request) -> Response:
    async def serve() -> Response:
        _check_here(request)
        context = {"token": request.query_params.get("token", ""), "may": None, "path": LINK_PATH}
        return HTMLResponse(render("link.html", context))

    return await answered(request, serve)


async def _use_link(request: Request) -> Response:
    async def serve() -> Response:
        _check_here(request)
        form = await read_form(request)
        service: Service = request.app.state.service
        id_ = await run_in_threadpool(
            sessions.use_link, service.engine, form.get("token", ""), now_ms()
        )
        if id_ is None:
            detail = "This link was used, or is older than ten minutes: sign in with a key instead"
            raise ProblemError(HTTPStatus.GONE, "link_used", detail)
        return await _signed_in(request, await service.authenticator.holder(id_), None)

    return await answered(request, serve)


async def _signed_in(request: Request, key: ApiKey, to: str | None) -> Response:
    service: Service = request.app.state.service
    session = await run_in_threadpool(
        sessions.begin_for_key, service.engine, key.id, key.role, now_ms()
    )
    answer = RedirectResponse(_next(to), HTTPStatus.SEE_OTHER)
    set_session(answer, request, session.token)
    return answer


async def _wait(request: Request, id_: str | None) -> None:
    """Let a wrong key wait for its answer."""
    guesses: Guesses = request.app.state.guesses
    peer = "" if request.client is None else request.client.host
    await guesses.hold(f"key {id_ or _NO_KEY}", f"peer {peer}")


def _check_here(request: Request) -> None:
    """Let a link be used on this machine only.

    Raises:
        ProblemError: 403.
    """
    client = request.client
    if client is None or not ip_address(client.host).is_loopback:
        detail = "A link signs in on the machine that printed it, and nowhere else"
        raise ProblemError(HTTPStatus.FORBIDDEN, "link_elsewhere", detail)


def _page(to: str | None, error: str | None = None, status: int = HTTPStatus.OK) -> Response:
    context = {"next": to or "", "error": error, "may": None, "path": PATH}
    return HTMLResponse(render("sign_in.html", context), status)


def _next(to: str | None) -> str:
    """Where to go on to: a path of these pages, never another site."""
    if not to or not to.startswith("/") or to.startswith(("//", "/\\")) or not to.isprintable():
        return "/"
    return to
