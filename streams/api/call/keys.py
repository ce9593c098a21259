"""API keys: made, listed and revoked; with what is stored of a key nobody can call.

A key is `cmk_<id>_<secret>`. The secret is 256 random bits, so one fast hash is enough: a slow one
protects words that people choose, as those can be guessed; a secret of random bits can't be
guessed, and every call would take longer.
"""

import hashlib
import os
import pwd
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    insert,
    select,
    tuple_,
    update,
)

from streams.api.call import audit_rows
from streams.api.call.api_key import ApiKey
from streams.api.call.call import Call
from streams.api.call.roles import Role
from streams.database.engine import writing
from streams.database.schema import API_KEYS
from streams.errors import NotFoundError, RefusedError

NAME_CHARS: Final = 128
NAME_RULE: Final = f"has 1 to {NAME_CHARS} printable characters"
_CREATED: Final = "createKey"
_REVOKED: Final = "revokeKey"
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"cmk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
# Compared with a key whose id is unknown, so that such a call takes as long as any other.
NO_DIGEST: Final = bytes(32)

# Where a key stands in the list: when it was made, and its id.
Place: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database has it."""

    key: ApiKey
    digest: bytes


def key_id(text: str) -> str | None:
    """The public part of a key; None where the text is no key."""
    found = _KEY.fullmatch(text)
    return None if found is None else found[1]


def digest(text: str) -> bytes:
    """What is stored of a key."""
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def is_name(text: str) -> bool:
    """Whether a text can be a key's name; `NAME_RULE` says what one has."""
    return 0 < len(text) <= NAME_CHARS and text.isprintable()


def local_user() -> str:
    """Who works on the database directly, without a key: this process's user and machine."""
    number = os.geteuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:  # in a container a user may have no name
        user = f"uid {number}"
    return f"{user}@{socket.gethostname()}"[:NAME_CHARS]


def create_key(
    engine: Engine, name: str, role: Role, now_ms: int, *, actor: str | None
) -> tuple[ApiKey, str]:
    """Make a key; its text is returned here and can't be had again.

    `actor` is who does it, for the audit trail; None leaves no row there.

    Raises:
        RefusedError: the name is empty, too long, or can't be printed.
    """
    if not is_name(name):
        raise RefusedError(f"A key's name {NAME_RULE}")
    key = ApiKey(secrets.token_hex(_ID_BYTES), name, role, now_ms, None)
    with writing(engine) as connection:
        text = _add(connection, key)
        if actor is not None:
            audit_rows.add_done(connection, actor, _CREATED, [key.id], now_ms)
    return key, text


def id_for(call: Call) -> str:
    """The id of the key that a call makes: a repeated call makes no second one."""
    return hashlib.blake2b(call.id.encode(), digest_size=_ID_BYTES).hexdigest()


def create_key_for(engine: Engine, call: Call, name: str, role: Role) -> tuple[ApiKey, str | None]:
    """Make the key of a call, whose name is one; its text, or None if it was made before."""
    with writing(engine) as connection:
        found = _find(connection, id_for(call))
        if found is not None:
            return found.key, None
        key = ApiKey(id_for(call), name, role, call.at, None)
        return key, _add(connection, key)


def place_of(key: ApiKey) -> Place:
    """Where a key stands in the list."""
    return (key.created_at, key.id)


def list_keys(
    engine: Engine, *, before: Place | None = None, most: int | None = None
) -> Sequence[ApiKey]:
    """All keys, or `most` of those made `before`, the newest first; revoked ones too."""
    place = tuple_(API_KEYS.c.created_at, API_KEYS.c.id)
    query = select(API_KEYS).order_by(API_KEYS.c.created_at.desc(), API_KEYS.c.id.desc())
    if before is not None:
        query = query.where(place < before)
    query = query.limit(most)
    with engine.connect() as connection:
        return [_key(row) for row in connection.execute(query)]


def find_key(engine: Engine, id_: str) -> StoredKey | None:
    """One key by its public part."""
    with engine.connect() as connection:
        return _find(connection, id_)


def revoke_key(engine: Engine, id_: str, now_ms: int, *, actor: str | None) -> ApiKey:
    """Revoke a key; a key that is revoked already stays as it is.

    `actor`: as in `create_key`; None if a call does it, which has a row of its own.

    Raises:
        NotFoundError: There is no such key.
    """
    with writing(engine) as connection:
        _revoke(connection, API_KEYS.c.id == id_, now_ms, actor)
        found = _find(connection, id_)
    if found is None:
        raise NotFoundError(f"no key {id_}: `countermand keys list` shows those there are")
    return found.key


def replace_key(engine: Engine, name: str, role: Role, now_ms: int, *, actor: str) -> str:
    """Make a key, and revoke all others of its name; its text. `actor`: as in `create_key`."""
    key, text = create_key(engine, name, role, now_ms, actor=actor)
    older = (API_KEYS.c.name == name) & (API_KEYS.c.id != key.id)
    with writing(engine) as connection:
        _revoke(connection, older, now_ms, actor)
    return text


def _add(connection: Connection, key: ApiKey) -> str:
    """Store a key under its id; its text, of which only the digest is stored."""
    text = f"cmk_{key.id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "digest": digest(text),
        "created_at": key.created_at,
    }
    connection.execute(insert(API_KEYS).values(row))
    return text


def _revoke(
    connection: Connection, which: ColumnElement[bool], now_ms: int, actor: str | None
) -> None:
    unrevoked = which & API_KEYS.c.revoked_at.is_(None)
    revoked = update(API_KEYS).where(unrevoked).values(revoked_at=now_ms)
    ids = list(connection.scalars(revoked.returning(API_KEYS.c.id)))
    if actor is not None and ids:
        audit_rows.add_done(connection, actor, _REVOKED, ids, now_ms)


def _find(connection: Connection, id_: str) -> StoredKey | None:
    row = connection.execute(select(API_KEYS).where(API_KEYS.c.id == id_)).one_or_none()
    return None if row is None else StoredKey(_key(row), row.digest)


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(row.id, row.name, row.role, row.created_at, row.revoked_at)
