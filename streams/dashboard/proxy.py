"""Users whom a trusted proxy in front names by headers; off unless the settings name its address.

Whether a peer is the proxy is decided by the connection itself, never by what it sends.
"""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request

from streams.api.call.api_key import ApiKey
from streams.api.call.keys import is_name
from streams.api.call.roles import Role
from streams.api.problems import ProblemError
from streams.settings import Settings

_LOWEST_FIRST: Final = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class NamedUser:
    """A user as the proxy names them."""

    name: str
    role: Role


def is_proxy(request: Request, settings: Settings) -> bool:
    """Whether the connection comes from a trusted proxy."""
    if request.client is None or not settings.proxy_peers:
        return False
    peer = ip_address(request.client.host)
    return any(peer in network for network in settings.proxy_peers)


def named_user(request: Request, settings: Settings) -> NamedUser | None:
    """The user that the proxy names; None where it isn't the proxy, or names nobody.

    Raises:
        ProblemError: 403; the user has no role here, or no name that can be shown.
    """
    if settings.proxy_user_header is None or not is_proxy(request, settings):
        return None
    name = request.headers.get(settings.proxy_user_header, "")
    if not name:
        return None
    if not is_name(name):
        raise _forbidden("The proxy's user name is too long, or can't be printed")
    return NamedUser(name, _role(request, settings))


def as_caller(user: NamedUser, now_ms: int) -> ApiKey:
    """The user as who makes calls; the id stands in the audit trail where others have a key's."""
    digest = hashlib.blake2b(user.name.encode(), digest_size=8).hexdigest()
    return ApiKey(f"user:{digest}", user.name, user.role, now_ms, None)


def _role(request: Request, settings: Settings) -> Role:
    """The highest role among those that the proxy lists; all are viewers if it tells no roles."""
    header = settings.proxy_role_header
    if header is None:
        return Role.VIEWER
    listed = {part.strip().lower() for part in request.headers.get(header, "").split(",")}
    roles = [role for role in _LOWEST_FIRST if role in listed]
    if not roles:
        known = ", ".join(_LOWEST_FIRST)
        raise _forbidden(f"The proxy's header {header} has none of the roles {known}")
    return roles[-1]


def _forbidden(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.FORBIDDEN, "proxy_user_refused", detail)
