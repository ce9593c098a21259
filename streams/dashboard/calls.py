"""Calls of the routes of `/v1`, made in this process for a visitor.

A page can do nothing that the API can't: what it reads and writes goes through the same routes,
with the same checks, roles, audit trail and repeats. Only the key needn't be sent again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.types import Message

from streams.api.call.api_key import ApiKey
from streams.api.call.front import UNTOLD
from streams.api.call.guard import VISITOR
from streams.errors import CountermandError

Document: TypeAlias = dict[str, Any]
Param: TypeAlias = str | int | Sequence[str] | None
_REFUSED: Final = 400


class RefusedCallError(CountermandError):
    """A call that wasn't answered with success; `problem` is the document that says why."""

    def __init__(self, status: int, problem: Document, retry_after: str | None = None) -> None:
        super().__init__(problem.get("detail", ""))
        self.status = status
        self.problem = problem
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.problem.get("code", "error"))


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call, as anybody with a key can make it."""

    method: str
    path: str
    query: str = ""
    body: Document | None = None

    @property
    def target(self) -> str:
        """Path and query, as in the request's first line."""
        path = quote(self.path, safe="/:")
        return f"{path}?{self.query}" if self.query else path


@dataclass(slots=True)
class Calls:
    """The calls of one page; `made` has them in their order."""

    request: Request
    visitor: ApiKey
    made: list[ApiCall] = field(default_factory=list)

    async def get(self, path: str, **params: Param) -> Document:
        """The answer to a GET; parameters that are None aren't sent.

        Raises:
            RefusedCallError: it wasn't answered with success.
        """
        return await self._send(ApiCall("GET", path, encoded(params)))

    async def post(self, path: str, body: Document, once: str | None = None) -> Document:
        """The answer to a POST; `once` is its Idempotency-Key. Raises: as `get`."""
        return await self._send(ApiCall("POST", path, "", body), once)

    async def delete(self, path: str, **params: Param) -> Document:
        """The answer to a DELETE. Raises: as `get`."""
        return await self._send(ApiCall("DELETE", path, encoded(params)))

    async def _send(self, call: ApiCall, once: str | None = None) -> Document:
        self.made.append(call)
        exchange = _Exchange(self.request, b"" if call.body is None else orjson.dumps(call.body))
        await self.request.app(
            _scope(self.request, call, self.visitor, once), exchange.receive, exchange.send
        )
        answer: Document = orjson.loads(exchange.body)
        if exchange.status >= _REFUSED:
            raise RefusedCallError(exchange.status, answer, exchange.headers.get(b"retry-after"))
        return answer


def encoded(params: Mapping[str, Param]) -> str:
    """A query without the parameters that are None or empty."""
    given = {name: value for name, value in params.items() if value not in (None, "", [])}
    return urlencode({name: _flag(value) for name, value in given.items()}, doseq=True)


class _Exchange:
    """A body to send, and what comes back; who waits for more learns when the browser has gone."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self._unsent: bytes | None = body
        self.status = 0
        self.headers: dict[bytes, str] = {}
        self.body = b""

    async def receive(self) -> Message:
        if self._unsent is None:
            return await self._request.receive()
        body, self._unsent = self._unsent, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name: value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


def _scope(request: Request, call: ApiCall, visitor: ApiKey, once: str | None) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")] if call.body is not None else []
    if once is not None:
        headers.append((b"idempotency-key", once.encode()))
    return {
        "type": "http",
        "asgi": request.scope["asgi"],
        "http_version": "1.1",
        "method": call.method,
        "scheme": request.scope["scheme"],
        "path": call.path,
        "raw_path": quote(call.path, safe="/:").encode(),
        "query_string": call.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": request.scope.get("client"),
        "server": request.scope.get("server"),
        "state": {VISITOR: visitor} | _untold(request),
    }


def _untold(request: Request) -> dict[str, object]:
    """What keeps the calls of a page out of the log, where it is kept out itself."""
    return {UNTOLD: True} if UNTOLD in request.scope["state"] else {}


def _flag(value: Param) -> Param:
    return str(value).lower() if isinstance(value, bool) else value
