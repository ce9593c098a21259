"""Who asks for a page: the holder of a key who has signed in, or a user whom a proxy names."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from streams.api.call.api_key import ApiKey
from streams.api.call.service import Service
from streams.api.problems import ProblemError
from streams.clock import now_ms
from streams.dashboard import proxy, sessions
from streams.dashboard.sessions import Session


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in.

    Attributes:
        session: The browser's session.
        caller: Who makes the calls.
        is_new: Whether the browser doesn't have the session's cookie yet.
    """

    session: Session
    caller: ApiKey
    is_new: bool = False


async def find_visitor(service: Service, request: Request, token: str | None) -> Visitor | None:
    """Who asks; None where nobody is signed in, or not any more.

    Raises:
        ProblemError: 403, the proxy's user may not come in; 503.
    """
    user = proxy.named_user(request, service.settings)
    now = now_ms()
    session = None
    if token:
        session = await run_in_threadpool(sessions.find, service.engine, token, now)
    if user is not None:
        return await _of_user(service, user, session)
    if session is None or session.key_id is None:
        return None
    try:
        return Visitor(session, await service.authenticator.holder(session.key_id))
    except ProblemError as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            raise
        return None


async def _of_user(service: Service, user: proxy.NamedUser, session: Session | None) -> Visitor:
    now = now_ms()
    caller = proxy.as_caller(user, now)
    if session is not None and (session.proxy_user, session.role) == (user.name, user.role):
        return Visitor(session, caller)
    begun = await run_in_threadpool(
        sessions.begin_for_user, service.engine, user.name, user.role, now
    )
    return Visitor(begun, caller, is_new=True)
