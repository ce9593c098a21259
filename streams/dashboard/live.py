"""What changes on a page while one looks at it, sent as it changes (server-sent events).

Browsers that look at the same page with the same role share one watch, which renders the page's
live part when the read model has moved. A browser gets the newest state only: who is slow misses
steps, and nothing queues up. Streams end with their session, and when the server stops.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message

from streams.api.call.front import UNTOLD
from streams.api.call.service import Service
from streams.api.problems import ProblemError, unavailable
from streams.dashboard.routing import answered, visitor_of
from streams.dashboard.visit import LIVE
from streams.database.schema import POSITIONS

MOST: Final = 200
_LOOK_S: Final = 1.0
# Without a change a page is rendered again after so long: it may tell of more than the database.
_AGAIN_S: Final = 10.0
_HEARTBEAT_S: Final = 15.0
_HEADERS: Final = {"X-Accel-Buffering": "no"}
_HEARTBEAT: Final = b": still here\n\n"
_ENDED: Final = b"event: ended\ndata:\n\n"
_SIGNED_OUT: Final = b"event: ended\ndata: Signed out\n\n"
_NOT_PAGES: Final = ("/v1", "/live", "/static", "/docs", "/metrics", "/healthz", "/sign-in")


class Hub:
    """The watches of one process."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._looked_at = float("-inf")
        self._mark: object = None
        # How many browsers look on.
        self.watching = 0

    def check_room(self) -> None:
        """Go on only where one more may watch.

        Raises:
            ProblemError: 503.
        """
        if self.watching >= MOST:
            raise unavailable("too_many_watchers", f"{MOST} browsers watch already")

    def join(self, request: Request, page: str, role: str) -> "_Watch":
        """The watch of a page, for one more browser."""
        watch = self._watches.get((page, role))
        if watch is None:
            watch = self._watches[page, role] = _Watch(self, self._app, page)
            watch.start()
        watch.watchers[id(request)] = request
        self.watching += 1
        return watch

    def leave(self, request: Request, page: str, role: str) -> None:
        """One browser fewer; the last one ends the watch."""
        watch = self._watches[page, role]
        del watch.watchers[id(request)]
        self.watching -= 1
        if not watch.watchers:
            watch.stop()
            del self._watches[page, role]

    async def mark(self) -> object:
        """What is another thing once the read model has moved; asked once a second for all."""
        if time.monotonic() - self._looked_at >= _LOOK_S / 2:
            self._looked_at = time.monotonic()
            service: Service = self._app.state.service
            self._mark = await run_in_threadpool(_read_mark, service)
        return self._mark


class _Watch:
    """A page's live part as it is now, rendered for all who watch it."""

    def __init__(self, hub: Hub, app: FastAPI, page: str) -> None:
        self.watchers: dict[int, Request] = {}
        self.html: str | None = None
        self.version = ""
        self.is_over = False
        self._hub = hub
        self._app = app
        self._page = page
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def wait(self, seconds: float) -> None:
        """Until it changes, or for so long."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return

    async def _run(self) -> None:
        seen: object = object()
        rendered_at = float("-inf")
        while not self.is_over:
            await asyncio.sleep(0)  # so that who joins first is there
            try:
                mark = await self._hub.mark()
                if mark != seen or time.monotonic() - rendered_at > _AGAIN_S:
                    await self._render()
                    seen, rendered_at = mark, time.monotonic()
            except Exception:  # noqa: BLE001  # the database is away: the page tells, once it is loaded
                self.is_over = True
            await asyncio.sleep(_LOOK_S)
        self._publish()

    async def _render(self) -> None:
        # Who was signed out meanwhile goes by themselves; the others still look on.
        for request in list(self.watchers.values()):
            status, html = await _page(self._app, request, self._page)
            if status == HTTPStatus.OK:
                break
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                return  # Kafka or the database is away: what is shown stays, and is looked at again
        else:
            self.is_over = True
            return
        if html != self.html:
            self.html = html
            self.version = hashlib.sha256(html.encode()).hexdigest()[:16]
            self._publish()

    def _publish(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def serve(request: Request) -> Response:
    """The changes of the page that the parameter `page` names."""

    async def start() -> Response:
        visitor = await visitor_of(request)
        if visitor is None:
            # No refusal: after one, a browser can't tell why.
            return Response(_SIGNED_OUT, media_type="text/event-stream")
        page = request.query_params.get("page", "")
        if not page.startswith("/") or page.startswith(_NOT_PAGES) or not page.isascii():
            raise ProblemError(HTTPStatus.NOT_FOUND, "page_not_found", "There is no such page")
        hub: Hub = request.app.state.live
        hub.check_room()
        changes = _changes(hub, request, page, visitor.caller.role)
        return StreamingResponse(changes, media_type="text/event-stream", headers=_HEADERS)

    return await answered(request, start)


async def _changes(hub: Hub, request: Request, page: str, role: str) -> AsyncIterator[bytes]:
    """The newest state, whenever it is another; begins with it unless the browser has it."""
    watch = hub.join(request, page, role)
    seen = request.headers.get("last-event-id", "")
    told_at = time.monotonic()
    try:
        while not request.app.state.stopping.is_set():
            visitor = await visitor_of(request)
            # A new one: the session that the stream began with has ended, for a proxy's user, too.
            if visitor is None or visitor.is_new:
                yield _SIGNED_OUT
                return
            if watch.is_over:
                yield _ENDED
                return
            if watch.html is not None and watch.version != seen:
                seen, told_at = watch.version, time.monotonic()
                yield _event(watch.version, watch.html)
            elif time.monotonic() - told_at > _HEARTBEAT_S:
                told_at = time.monotonic()
                yield _HEARTBEAT
            await watch.wait(_LOOK_S)
    finally:
        hub.leave(request, page, role)


def _event(version: str, html: str) -> bytes:
    data = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"id: {version}\n{data}\n".encode()


async def _page(app: FastAPI, request: Request, page: str) -> tuple[int, str]:
    """The live part of a page, asked for with a browser's own session."""
    path, _, query = page.partition("?")
    state = {"http_id": request.scope["state"]["http_id"], LIVE: True, UNTOLD: True}
    scope: dict[str, Any] = dict(request.scope) | {
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "state": state,
    }
    status, body = 0, b""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            body += message.get("body", b"")

    await app(scope, receive, send)
    return status, body.decode()


def _read_mark(service: Service) -> object:
    with service.engine.connect() as connection:
        return connection.scalar(select(func.sum(POSITIONS.c.next_offset)))
