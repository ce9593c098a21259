"""The way into every route of `/v1`: keys, limits, the audit trail, and repeated calls.

In this order, each refusing before the next looks: key, role, size, content type, JSON,
Idempotency-Key; then the route itself.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from streams import logs
from streams.api.call import audit_rows, idempotency
from streams.api.call.api_key import ApiKey
from streams.api.call.auth import require
from streams.api.call.call import Call
from streams.api.call.roles import Role
from streams.api.call.service import Service
from streams.api.problems import FieldError, ProblemError, as_problem, caller_gone, invalid
from streams.clock import now_ms
from streams.database.engine import add_missing, writing
from streams.database.schema import REQUESTS

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]
ROLE: Final = "x-required-role"
REPLAYED: Final = "Idempotent-Replayed"
# In the state of a request that a page makes: for whom.
VISITOR: Final = "visitor"
_READS: Final = frozenset({"GET", "HEAD"})
_WITH_BODY: Final = frozenset({"POST", "PUT"})
_JSON: Final = "application/json"

log = logs.get(__name__)


class GuardedRoute(APIRoute):
    """A route that only callers with its role reach."""

    def get_route_handler(self) -> Handler:
        """What Starlette calls."""
        handle = super().get_route_handler()
        role = Role((self.openapi_extra or {})[ROLE])
        action = self.operation_id or self.name

        async def guarded(request: Request) -> Response:
            service: Service = request.app.state.service
            key = await _caller(service, request)
            request.state.key = key
            require(key, role)
            http_id = request.state.http_id
            call = Call(key, action, http_id, http_id, now_ms())
            request.state.call = call
            refuse_nul(request)
            if request.method in _READS:
                return await handle(request)
            return await _Write(service, request, call).run(handle)

        return guarded


async def _caller(service: Service, request: Request) -> ApiKey:
    """Whose call it is: that of a page's visitor, which only this process can say, or of a key.

    Raises:
        ProblemError: 401.
    """
    visitor: ApiKey | None = request.scope["state"].get(VISITOR)
    if visitor is not None:
        return visitor
    return await service.authenticator.caller(request.headers.get("authorization"))


class _Write:
    """One call that writes, with its audit row and its Idempotency-Key."""

    def __init__(self, service: Service, request: Request, call: Call) -> None:
        self._service = service
        self._request = request
        self._call = call

    async def run(self, handle: Handler) -> Response:
        path = self._request.url.path
        try:
            body, value = b"", None
            if self._request.method in _WITH_BODY:
                service = self._service
                limit, within_s = service.settings.api_body_limit, service.body_within_s
                body = await read_body(self._request, limit, within_s)
                value = read_json(self._request, body)
            kept = await run_in_threadpool(self._reserve, body)
            if kept is not None:
                headers = {REPLAYED: "true"}
                return Response(kept.body, kept.status, headers, _JSON)
            response = await handle(_ReadRequest(self._request, body, value))
        except Exception as error:
            problem = as_problem(error, path)
            code = "error" if problem is None else problem.code
            await run_in_threadpool(self._refused, code)
            if problem is None:
                raise
            raise problem from error
        await run_in_threadpool(self._done, response)
        return response

    def _reserve(self, body: bytes) -> idempotency.Kept | None:
        key = self._request.headers.get("idempotency-key")
        if key is None or self._request.method != "POST":
            return None
        call, request = self._call, self._request
        asked = idempotency.asked(call.key.id, key, request.url.path, body)
        try:
            with writing(self._service.engine) as connection:
                found = idempotency.reserve(connection, asked, call.id, call.at)
        except IntegrityError:  # PostgreSQL: the twin came at the same moment
            raise idempotency.in_use() from None
        if isinstance(found, idempotency.Kept):
            return found
        call.id, call.idempotency_key = found, key
        return None

    def _done(self, response: Response) -> None:
        """Record a call that was done; as Kafka has it, a failing database changes no answer."""
        call = self._call
        undecided = response.status_code == HTTPStatus.ACCEPTED
        outcome = audit_rows.UNDECIDED if undecided else audit_rows.DONE
        try:
            with writing(self._service.engine) as connection:
                if call.row is not None:
                    add_missing(
                        connection, REQUESTS, [call.row]
                    )  # unless the read model was faster
                audit_rows.close_row(connection, call, outcome)
                if call.idempotency_key is not None:
                    body = call.answer_again or bytes(response.body)
                    kept = idempotency.Kept(response.status_code, body)
                    idempotency.keep(connection, call.key.id, call.idempotency_key, kept)
        except SQLAlchemyError as error:
            log.exception("A call was done but not booked", request_id=call.id, error=str(error))

    def _refused(self, code: str) -> None:
        """Record a refusal; the caller is refused even if the database fails."""
        call = self._call
        try:
            with writing(self._service.engine) as connection:
                announced = call.audited
                audit_rows.close_row(connection, call, code)
                if call.idempotency_key is None:
                    return
                if announced:
                    key = call.idempotency_key
                    idempotency.give_up(connection, call.key.id, key, call.at)
                else:
                    idempotency.forget(connection, call.key.id, call.idempotency_key)
        except SQLAlchemyError as error:
            log.exception("A refusal was not booked", request_id=call.id, error=str(error))


async def read_body(request: Request, limit: int, within_s: float) -> bytes:
    """The body; never more than `limit` bytes are held, nor is it waited for longer.

    Raises:
        ProblemError: 408, 413; or the caller went.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except ClientDisconnect:
        raise caller_gone() from None
    except TimeoutError:
        detail = f"The body didn't come within {within_s:.0f} s"
        close = {"Connection": "close"}
        status = HTTPStatus.REQUEST_TIMEOUT
        raise ProblemError(status, "body_too_slow", detail, headers=close) from None
    return bytes(body)


def read_json(request: Request, body: bytes) -> object:
    """The JSON of a body that can be written again: no NaN, lone surrogates, deep nesting.

    Raises:
        ProblemError: 415, or what the route answers to wrong fields.
    """
    if not body:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        detail = f"The body must be {_JSON}: set the header Content-Type"
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    try:
        orjson.loads(body)  # refuses what Python's reader lets pass, and reads large integers
        return json.loads(body)  # as floats, which Python's doesn't
    except orjson.JSONDecodeError as error:
        message, position = str(error), error.pos
    except RecursionError:
        message, position = "nested too deeply", 0
    found = FieldError("json", f"The body is not JSON: {message}", pointer="", position=position)
    raise invalid(request.url.path, [found])


def refuse_nul(request: Request) -> None:
    """Refuse a character that no id or name has, and that PostgreSQL can't even be asked about.

    Raises:
        ProblemError: what the route answers to wrong fields.
    """
    names = [name for name, value in request.path_params.items() if "\0" in str(value)]
    names += [name for name, value in request.query_params.multi_items() if "\0" in name + value]
    if names:
        detail = "must not hold the character NUL"
        errors = [FieldError("character", f"{name} {detail}", parameter=name) for name in names]
        raise invalid(request.url.path, errors)


def _too_large(limit: int) -> ProblemError:
    detail = f"The body is over {limit} bytes (COUNTERMAND_API_BODY_LIMIT)"
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


class _ReadRequest(Request):
    """A request whose body was read already."""

    def __init__(self, request: Request, body: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._read, self._value = body, value

    async def body(self) -> bytes:
        """The body."""
        return self._read

    async def json(self) -> object:
        """Its JSON."""
        return self._value
