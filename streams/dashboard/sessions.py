"""Who is signed in: sessions and links that sign in once, in the database, so of every process.

A session is 256 random bits in a cookie; the database has their digest. A session of a key's holder
is worth as much as the key, which is looked up at each request.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from streams.api.call.roles import Role
from streams.database.engine import writing
from streams.database.schema import SESSIONS, SIGN_IN_LINKS
from topology import limits

LASTS_MS: Final = 12 * limits.HOUR_MS
LINK_LASTS_MS: Final = 10 * limits.MINUTE_MS
# How old the time may grow at which a session was last seen.
_SEEN_EVERY_MS: Final = limits.MINUTE_MS
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in.

    Attributes:
        token: What its cookie holds.
        key_id: The key whose holder it is; None for a user whom a proxy named.
        proxy_user: That user.
        role: The role at the sign-in; that of a key counts as it is now.
    """

    token: str
    key_id: str | None
    proxy_user: str | None
    role: str
    created_at: int

    @property
    def csrf(self) -> str:
        """What each of its forms has to send: nobody makes it without the cookie."""
        return hmac.digest(self.token.encode(), b"csrf", "sha256").hex()

    def is_csrf(self, text: str) -> bool:
        """Whether a form has sent it."""
        return hmac.compare_digest(self.csrf.encode(), text.encode())


def begin_for_key(engine: Engine, key_id: str, role: str, now_ms: int) -> Session:
    """Begin a session for the holder of a key."""
    return _begin(engine, Session(secrets.token_urlsafe(_BYTES), key_id, None, role, now_ms))


def begin_for_user(engine: Engine, user: str, role: Role, now_ms: int) -> Session:
    """Begin a session for a user whom a proxy named."""
    return _begin(engine, Session(secrets.token_urlsafe(_BYTES), None, user, role, now_ms))


def find(engine: Engine, token: str, now_ms: int) -> Session | None:
    """The session of a cookie; None where it has ended, or there never was one."""
    mine = SESSIONS.c.digest == _digest(token)
    with engine.connect() as connection:
        row = connection.execute(select(SESSIONS).where(mine)).one_or_none()
    if row is None or now_ms - row.created_at >= LASTS_MS:
        return None
    if now_ms - row.seen_at >= _SEEN_EVERY_MS:
        with writing(engine) as connection:
            connection.execute(update(SESSIONS).where(mine).values(seen_at=now_ms))
    return _session(token, row)


def end(engine: Engine, token: str) -> None:
    """End a session."""
    with writing(engine) as connection:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == _digest(token)))


def make_link(engine: Engine, key_id: str, now_ms: int) -> str:
    """What a link has to hold that signs in once, as the holder of a key."""
    token = secrets.token_urlsafe(_BYTES)
    row = {"digest": _digest(token), "key_id": key_id, "created_at": now_ms}
    with writing(engine) as connection:
        _forget_old(connection, now_ms)
        connection.execute(insert(SIGN_IN_LINKS).values(row))
    return token


def use_link(engine: Engine, token: str, now_ms: int) -> str | None:
    """Use a link up: the id of its key, or None where it is unknown, used or too old."""
    mine = SIGN_IN_LINKS.c.digest == _digest(token)
    with writing(engine) as connection:
        _forget_old(connection, now_ms)
        used = delete(SIGN_IN_LINKS).where(mine).returning(SIGN_IN_LINKS.c.key_id)
        return connection.execute(used).scalar_one_or_none()


def _begin(engine: Engine, session: Session) -> Session:
    row = {
        "digest": _digest(session.token),
        "key_id": session.key_id,
        "proxy_user": session.proxy_user,
        "role": session.role,
        "created_at": session.created_at,
        "seen_at": session.created_at,
    }
    with writing(engine) as connection:
        _forget_old(connection, session.created_at)
        connection.execute(insert(SESSIONS).values(row))
    return session


def _forget_old(connection: Connection, now_ms: int) -> None:
    connection.execute(delete(SESSIONS).where(SESSIONS.c.created_at <= now_ms - LASTS_MS))
    old_link = SIGN_IN_LINKS.c.created_at <= now_ms - LINK_LASTS_MS
    connection.execute(delete(SIGN_IN_LINKS).where(old_link))


def _session(token: str, row: Row[tuple[object, ...]]) -> Session:
    return Session(token, row.key_id, row.proxy_user, row.role, row.created_at)


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=32).digest()
