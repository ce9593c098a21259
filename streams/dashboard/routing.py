"""The way into every page: host, session, form, origin; and every refusal as a page.

In this order, each refusing before the next looks: the host that was asked for; who is signed in;
for a form its size, its fields, where it comes from, and its token.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from streams import logs
from streams.api.call.guard import read_body
from streams.api.call.service import Service
from streams.api.problems import ProblemError, as_problem
from streams.dashboard.calls import Calls, RefusedCallError
from streams.dashboard.may import May
from streams.dashboard.origin import Origin
from streams.dashboard.rendering import render
from streams.dashboard.visit import Visit
from streams.dashboard.visitors import Visitor, find_visitor
from streams.settings import Settings

log = logs.get(__name__)

Handler: TypeAlias = Callable[[Visit], Awaitable[Response]]
COOKIE: Final = "countermand_session"
MOST_FIELDS: Final = 100
# The read model tells every few seconds how far it is.
_BEHIND_S: Final = 15
_FORM: Final = "application/x-www-form-urlencoded"
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class PageRoute(Route):
    """A route that metrics tell from others: FastAPI's app leaves no word of one that isn't its."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, with itself in the scope of the call."""
        match, known = super().matches(scope)
        return match, {**known, "route": self}


class Pages:
    """Collects the routes of pages."""

    def __init__(self) -> None:
        self.routes: list[PageRoute] = []

    def get(self, path: str) -> Callable[[Handler], Handler]:
        """The page at a path."""
        return self._add(path, "GET", writes=False)

    def post(self, path: str, *, writes: bool = True) -> Callable[[Handler], Handler]:
        """What a form sends to a path; `writes`: not where the pages are read-only."""
        return self._add(path, "POST", writes=writes)

    def _add(self, path: str, method: str, *, writes: bool) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            async def endpoint(request: Request) -> Response:
                return await answered(request, lambda: _visited(request, handler, writes=writes))

            self.routes.append(PageRoute(path, endpoint, methods=[method]))
            return handler

        return add


async def answered(request: Request, serve: Callable[[], Awaitable[Response]]) -> Response:
    """What `serve` answers; a refusal or failure as a page; with the headers that protect both."""
    try:
        _check_host(request)
        answer = await serve()
    except RefusedCallError as error:
        answer = error_page(request, error.status, error.problem, error.retry_after)
    except Exception as error:  # a browser is answered with a page, whatever it is
        problem = as_problem(error, request.url.path)
        if problem is None:
            http_id = request.scope["state"]["http_id"]
            log.exception("A page failed", request_id=http_id, path=request.url.path)
            problem = _defect()
        document = {"code": problem.code, "detail": problem.detail}
        after = problem.headers.get("Retry-After")
        answer = error_page(request, problem.status, document, after)
    for name, value in _SECURITY.items():
        answer.headers[name] = value
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def error_page(
    request: Request, status: int, problem: dict[str, Any], retry_after: str | None = None
) -> Response:
    """What is wrong, and what to do."""
    context = {
        "status": status,
        "phrase": HTTPStatus(status).phrase if status in list(HTTPStatus) else "Refused",
        "problem": problem,
        "request_id": problem.get("request_id") or request.scope["state"].get("http_id"),
        "path": request.url.path,
        "back": _way_back(request),
        "may": None,
    }
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return HTMLResponse(render("error.html", context), status, headers)


def _way_back(request: Request) -> str | None:
    """Where to try again: the address itself, or the page whose form was sent; None: unknown."""
    if request.method == "GET":
        url = request.url
        found: str | None = f"{url.path}?{url.query}" if url.query else url.path
    else:
        found = origin_of(request).own(request.headers.get("referer", ""), request.headers)
    return None if found is None else "/" + found.lstrip("/\\")  # never another site


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that comes from one of these pages; the last value of each.

    Raises:
        ProblemError: 403, it comes from elsewhere; 400, 408, 413, 415, it can't be read.
    """
    if not origin_of(request).wrote(request.headers):
        detail = "This form was sent from another site, or by a browser that doesn't say from where"
        raise ProblemError(HTTPStatus.FORBIDDEN, "other_origin", detail)
    service: Service = request.app.state.service
    body = await read_body(request, service.settings.api_body_limit, service.body_within_s)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", f"A form is {_FORM}"
        )
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        detail = f"The form can't be read: it has at most {MOST_FIELDS} fields, in UTF-8"
        raise ProblemError(HTTPStatus.BAD_REQUEST, "malformed_form", detail) from None
    # A browser ends lines as the protocols of old do.
    return {name: value.replace("\r\n", "\n") for name, value in fields}


def origin_of(request: Request) -> Origin:
    """Where the pages are served."""
    origin: Origin = request.app.state.origin
    return origin


async def visitor_of(request: Request) -> Visitor | None:
    """Who is signed in; None: nobody. Raises: ProblemError, as `find_visitor`."""
    service: Service = request.app.state.service
    return await find_visitor(service, request, request.cookies.get(COOKIE))


def set_session(answer: Response, request: Request, token: str) -> None:
    """Let the browser keep its session; it ends with the browser, or when the server ends it."""
    answer.set_cookie(
        COOKIE, token, httponly=True, samesite="lax", secure=origin_of(request).is_secure
    )


async def _visited(request: Request, handler: Handler, *, writes: bool) -> Response:
    visitor = await visitor_of(request)
    if visitor is None:
        return _to_sign_in(request)
    settings: Settings = request.app.state.service.settings
    request.state.key = visitor.caller
    visit = Visit(
        request=request,
        session=visitor.session,
        caller=visitor.caller,
        may=May.of(visitor.caller, read_only=settings.dashboard_read_only),
        calls=Calls(request, visitor.caller),
        origin=origin_of(request).of_request(request.headers),
        path=request.url.path,
    )
    if request.method == "POST":
        visit.form = await read_form(request)
        _check_token(visit)
        if writes and settings.dashboard_read_only:
            detail = "These pages are read-only (COUNTERMAND_DASHBOARD_READ_ONLY)"
            raise ProblemError(HTTPStatus.FORBIDDEN, "read_only", detail)
    visit.behind = await _behind(visit)
    answer = await handler(visit)
    if visitor.is_new:
        set_session(answer, request, visitor.session.token)
    return answer


async def _behind(visit: Visit) -> str | None:
    """Up to when the read model shows what happened; None where it keeps up."""
    found = (await Calls(visit.request, visit.caller).get("/v1/read-model"))["data"]
    as_of: str | None = found["as_of"]
    return as_of if found["behind_s"] is not None and found["behind_s"] > _BEHIND_S else None


def _defect() -> ProblemError:
    detail = "This is a defect of Countermand; the log has more, under the request's id"
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def _check_host(request: Request) -> None:
    if not origin_of(request).serves(request.headers):
        detail = (
            "The pages aren't served under this name: ask for that of COUNTERMAND_PUBLIC_URL, or "
            "set it to the address that browsers use"
        )
        raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "other_host", detail)


def _check_token(visit: Visit) -> None:
    if not visit.session.is_csrf(visit.form.get("csrf", "")):
        detail = "This form is out of date: load its page again, and send it once more"
        raise ProblemError(HTTPStatus.FORBIDDEN, "form_out_of_date", detail)


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET":
        detail = "You are signed out: sign in in another tab, then send this form again"
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "signed_out", detail)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = "/sign-in" if here == "/" else f"/sign-in?next={quote(here)}"
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)
