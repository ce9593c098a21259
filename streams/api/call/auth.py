"""Who calls: the key of the header `Authorization`, and whether its role allows the call."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from streams import logs
from streams.api.call.api_key import ApiKey
from streams.api.call.keys import NO_DIGEST, StoredKey, digest, find_key, key_id
from streams.api.call.roles import Role
from streams.api.problems import ProblemError

# A revoked key is refused at most so many seconds later.
REMEMBERED_S: Final = 1.0
_REMEMBERED: Final = 1_000
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="countermand"'}
_INVALID: Final = {"WWW-Authenticate": 'Bearer realm="countermand", error="invalid_token"'}
_KNOWN_ROLES: Final = frozenset(role.value for role in Role)

_limiter: Final = logs.Limiter()
log = logs.get(__name__)


class Authenticator:
    """Knows the callers by their keys; asks the database at most once a second for each.

    Only who has to ask the database needs a thread for it.
    """

    def __init__(self, engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[float, StoredKey]] = OrderedDict()

    async def caller(self, header: str | None) -> ApiKey:
        """The key that a call comes with.

        Raises:
            ProblemError: 401; the message doesn't say what is wrong, as that helps to guess keys.
        """
        scheme, _, text = (header or "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            detail = "An API key is needed: send the header `Authorization: Bearer cmk_…`"
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_missing", detail, headers=_CHALLENGE)
        id_ = key_id(text)
        stored = None if id_ is None else await self._stored(id_)
        expected = NO_DIGEST if stored is None else stored.digest
        same = hmac.compare_digest(digest(text), expected)
        if stored is None or not same or stored.key.revoked_at is not None:
            raise _invalid()
        return stored.key

    async def holder(self, id_: str) -> ApiKey:
        """The key of somebody who has shown it before: it may have been revoked since.

        Raises:
            ProblemError: 401.
        """
        stored = await self._stored(id_)
        if stored is None or stored.key.revoked_at is not None:
            raise _invalid()
        return stored.key

    async def _stored(self, id_: str) -> StoredKey | None:
        now = self._monotonic()
        since, remembered = self._known.get(id_, (float("-inf"), None))
        if remembered is not None and now - since < REMEMBERED_S:
            return remembered
        found = await run_in_threadpool(find_key, self._engine, id_)
        self._known.pop(id_, None)
        if found is not None:  # unknown ids are not remembered: anybody can make up many
            self._known[id_] = (now, found)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def require(key: ApiKey, role: Role) -> None:
    """Let only a key pass whose role covers `role`.

    Raises:
        ProblemError: 403.
    """
    if key.role not in _KNOWN_ROLES:
        raise _unknown_role(key)
    if not Role(key.role).covers(role):
        detail = f"This needs a key with the role {role}; this one has {key.role}"
        raise ProblemError(HTTPStatus.FORBIDDEN, "role_too_low", detail)


def _invalid() -> ProblemError:
    detail = "The API key is not valid: it is unknown, wrong or revoked"
    return ProblemError(HTTPStatus.UNAUTHORIZED, "key_invalid", detail, headers=_INVALID)


def _unknown_role(key: ApiKey) -> ProblemError:
    """The problem of a key that a newer release made; the log has it for who runs this one."""
    suppressed = _limiter.admit(key.id)
    if suppressed is not None:
        message = "A key has a role that this release doesn't know: its calls are refused"
        log.warning(message, key=key.id, role=key.role, suppressed=suppressed)
    detail = (
        f"The key's role, {key.role}, is not known to this release: upgrade the API, or use a key "
        f"with one of {', '.join(Role)}"
    )
    return ProblemError(HTTPStatus.FORBIDDEN, "role_unknown", detail)
