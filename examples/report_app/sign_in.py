"""Who is asking: a name in a session. There is no password: this is an example, not a lock.

The cookie is a random token of which the database has only a digest; forms carry a second token
that follows from it, so no other site can send them.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Form, Request

from examples.report_app.database import Database
from examples.report_app.models import SignIn

COOKIE: Final = "report_app"
LIFETIME: Final = timedelta(days=30)
LONGEST_NAME: Final = 40


class NotSignedInError(Exception):
    """Nobody is signed in."""


class ForgedFormError(Exception):
    """A form isn't one of ours, or is of an earlier session."""


@dataclass(frozen=True)
class User:
    """Who is signed in, and what their forms carry."""

    id: str
    csrf: str


def sign_in(database: Database, name: str) -> str:
    """Begin a session; its token, for the cookie."""
    token = secrets.token_urlsafe(32)
    with database.begin() as session:
        session.add(SignIn(digest=_digest(token), user_id=name, created_at=datetime.now(UTC)))
    return token


def sign_out(database: Database, token: str) -> None:
    """End a session."""
    with database.begin() as session:
        found = session.get(SignIn, _digest(token))
        if found is not None:
            session.delete(found)


def current_user(request: Request) -> User:
    """Who is asking.

    Raises:
        NotSignedInError: nobody who is signed in.
    """
    token = request.cookies.get(COOKIE, "")
    database: Database = request.app.state.database
    with database() as session:
        found = session.get(SignIn, _digest(token))
    if found is None or found.created_at < datetime.now(UTC) - LIFETIME:
        raise NotSignedInError
    return User(found.user_id, _csrf(token))


CurrentUser = Annotated[User, Depends(current_user)]


def require_own_form(user: CurrentUser, csrf: Annotated[str, Form()] = "") -> None:
    """Go on only with a form that was made for this session.

    Raises:
        ForgedFormError: it wasn't.
    """
    if not hmac.compare_digest(user.csrf.encode(), csrf.encode()):
        raise ForgedFormError


def require_own_page(request: Request) -> None:
    """Go on only if the browser doesn't say that another site sends this.

    Raises:
        ForgedFormError: it says so.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForgedFormError


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _csrf(token: str) -> str:
    return hashlib.sha256(f"form {token}".encode()).hexdigest()
