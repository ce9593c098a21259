"""Around every call: an id, one line in the log, its time, and an answer whatever happens."""

import time
from http import HTTPStatus
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid_transform import ulid_now

from streams import logs
from streams.api.call.service import Service
from streams.api.problems import ProblemError, as_problem

_QUIET: Final = ("/healthz/", "/metrics", "/docs", "/static/")
_NO_ROUTE: Final = "none"
# In the state of a call that a page makes each second: the log has no line of it.
UNTOLD: Final = "untold"

log = logs.get(__name__)


class Front:
    """ASGI middleware; the line in the log has the path and the key's id, never a header."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        http_id = ulid_now()
        scope.setdefault("state", {})["http_id"] = http_id
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = http_id
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if status:  # the answer has begun: only a closed connection can tell the caller
                raise
            problem = as_problem(error, scope["path"]) or _defect()
            if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("A call failed", request_id=http_id, path=scope["path"])
            await problem.answer(scope["path"], http_id)(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        self._metrics.api_call(scope["method"], route, status, seconds)
        if scope["path"].startswith(_QUIET) or UNTOLD in scope["state"]:
            return
        key = scope["state"].get("key")
        log.info(
            "Call",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 1),
            key=None if key is None else key.id,
            request_id=scope["state"]["http_id"],
        )


def _defect() -> ProblemError:
    detail = "This is a defect of Countermand; the log has more, under the request_id"
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
