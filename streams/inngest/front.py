"""What apps call: events, registrations; and what they may ask for that isn't here."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streams import logs
from streams.api.call.auth import Authenticator, require
from streams.api.call.roles import Role
from streams.api.problems import ProblemError
from streams.api.producer import AckedProducer, Outgoing
from streams.clock import now_ms
from streams.errors import CountermandError, DatabaseError, UnreachableError
from streams.inngest.events import EventsError, Seed, read_events
from streams.inngest.register import Registrar, Taken
from streams.inngest.registration import RegistrationError
from streams.inngest.signing import Keys
from streams.inngest.sync import DEPLOY, MOVED

BODY_BYTES: Final = 4 * 1024 * 1024
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SDK: Final = "x-inngest-sdk"
_SEED: Final = "x-inngest-event-id-seed"
_TOO_LARGE: Final = f"a body has at most {BODY_BYTES} bytes"
Endpoint = Callable[[Request], Awaitable[Response]]

log = logs.get(__name__)


class RefusedCallError(Exception):
    """A call is refused; every SDK reads `error` and `status` of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def answer(self) -> Response:
        """The HTTP answer."""
        return JSONResponse({"error": str(self), "status": self.status}, self.status)


class Front:
    """Serves apps.

    In development nothing is signed, so any page in a browser on this machine could post here:
    then calls must name this machine as their host, and their origin too, if they have one.
    """

    def __init__(
        self,
        keys: Keys,
        authenticator: Authenticator,
        registrar: Registrar,
        producer: AckedProducer,
        topic: str,
    ) -> None:
        """`topic` is the full name of the one that events go to."""
        self._keys = keys
        self._authenticator = authenticator
        self._registrar = registrar
        self._producer = producer
        self._topic = topic

    def app(self) -> Starlette:
        """The application to serve."""
        app = Starlette(
            routes=[
                Route("/e/{key}", self._guarded(self._events), methods=["POST"]),
                Route("/fn/register", self._guarded(self._register), methods=["POST", "PUT"]),
                Route("/dev", self._guarded(_dev), methods=["GET"]),
                Route("/{path:path}", self._guarded(_absent), methods=_METHODS),
            ]
        )
        app.state.stopping = asyncio.Event()
        return app

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            try:
                if self._keys.is_dev:
                    _check_local(request)
                return await endpoint(request)
            except RefusedCallError as refused:
                return refused.answer()
            except ProblemError as problem:
                return RefusedCallError(problem.status, problem.detail).answer()
            except (UnreachableError, DatabaseError) as error:
                return RefusedCallError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).answer()
            except CountermandError as error:
                log.warning("A call from an app failed", path=request.url.path, error=str(error))
                return RefusedCallError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)).answer()

        return call

    async def _events(self, request: Request) -> Response:
        if not self._keys.is_dev:
            key = await self._authenticator.caller(f"Bearer {request.path_params['key']}")
            require(key, Role.SENDER)
            if key.role != Role.SENDER:  # it stands in URLs, which are written to logs
                message = f"an event key has the role {Role.SENDER}, and no more: make one"
                raise RefusedCallError(HTTPStatus.FORBIDDEN, message)
        body = await _body(request)
        try:
            events = read_events(body, Seed(request.headers.get(_SEED, "")), now_ms())
        except EventsError as error:
            raise RefusedCallError(HTTPStatus.BAD_REQUEST, str(error)) from error
        records = [Outgoing(self._topic, id_.encode(), value) for id_, value in events]
        await run_in_threadpool(self._producer.send, records)
        return JSONResponse({"ids": [id_ for id_, _ in events], "status": HTTPStatus.OK})

    def _take(self, request: Request) -> Callable[[bytes, str], Taken]:
        """What registers an app; in development one may say by itself that it has moved."""
        if self._keys.is_dev and request.query_params.get(DEPLOY) == MOVED:
            return partial(self._registrar.take, moved=True)
        return self._registrar.take

    async def _register(self, request: Request) -> Response:
        if not self._keys.accepts(request.headers.get("authorization", "")):
            message = "the signing key isn't the one of COUNTERMAND_INNGEST_SIGNING_KEY"
            raise RefusedCallError(HTTPStatus.UNAUTHORIZED, message)
        body, sdk = await _body(request), request.headers.get(_SDK, "")
        try:
            taken = await run_in_threadpool(self._take(request), body, sdk)
        except RegistrationError as error:
            log.warning("A registration is refused", error=str(error))
            raise RefusedCallError(HTTPStatus.BAD_REQUEST, str(error)) from error
        for warning in taken.warnings:
            log.warning("An app was registered with a warning", app=taken.app_id, warning=warning)
        log.info("App registered", app=taken.app_id, functions=len(taken.differences), sdk=sdk)
        return JSONResponse({"ok": True, "modified": taken.modified, "status": HTTPStatus.OK})


async def _dev(_request: Request) -> Response:
    """What SDKs look for in development, before they send anything."""
    return JSONResponse({"functions": [], "handlers": []})


async def _absent(request: Request) -> Response:
    message = (
        f"{request.method} {request.url.path} isn't supported by Countermand: docs/inngest.md says "
        "what is. Apps are served with serve(), not with connect()"
    )
    raise RefusedCallError(HTTPStatus.NOT_IMPLEMENTED, message)


async def _body(request: Request) -> bytes:
    """The body of a call; refused as soon as it is too large."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_BYTES:
            raise RefusedCallError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
    return bytes(found)


def _check_local(request: Request) -> None:
    """Refuse what a page of elsewhere sends, under a name that leads to this machine too."""
    host: Any = urlsplit(f"//{request.headers.get('host', '')}").hostname
    origin = request.headers.get("origin")
    names = [host] if origin is None else [host, urlsplit(origin).hostname]
    if not all(is_this_machine(name or "") for name in names):
        message = (
            "in development only this machine is served, under localhost or 127.0.0.1: "
            "set COUNTERMAND_INNGEST_SIGNING_KEY to serve others"
        )
        raise RefusedCallError(HTTPStatus.FORBIDDEN, message)


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
