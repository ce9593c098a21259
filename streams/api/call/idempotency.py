"""Idempotency-Key: the same call again gets the same answer, and the same request id.

The id is fixed before the record is produced, so a repeated call whose first answer was lost
produces the same record, and joiners ignore request ids that they know. Answers are kept for 24 h.
Of a refused call nothing is kept: once corrected it may be sent with the same key.
"""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from streams.api.problems import RETRY_AFTER_S, FieldError, ProblemError, invalid
from streams.database.schema import IDEMPOTENCY_KEYS as KEYS
from topology import limits

KEPT_MS: Final = limits.DAY_MS
# A call unanswered for so long died with its process: the next call takes its place.
LEASE_MS: Final = 30 * limits.SECOND_MS
_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What an Idempotency-Key stands for: a caller's key, and what came with it."""

    api_key: str
    key: str
    route: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer to an earlier call."""

    status: int
    body: bytes


def asked(api_key: str, key: str, route: str, body: bytes) -> Asked:
    """Read the header of a call.

    Raises:
        ProblemError: the header is no key.
    """
    if not 0 < len(key) <= _CHARS or not (key.isascii() and key.isprintable()):
        detail = f"Idempotency-Key must have 1 to {_CHARS} printable ASCII characters"
        error = FieldError("idempotency_key", detail, parameter="Idempotency-Key")
        raise invalid(route, [error])
    return Asked(api_key, key, route, hashlib.blake2b(body, digest_size=32).digest())


def reserve(connection: Connection, call: Asked, new_id: str, now_ms: int) -> str | Kept:
    """The id that the call shall use, or the answer that it already got.

    Raises:
        ProblemError: the key came with something else, or its call is under way.
    """
    connection.execute(delete(KEYS).where(KEYS.c.created_at < now_ms - KEPT_MS))
    row = connection.execute(
        select(KEYS).where(_of(call.api_key, call.key)).with_for_update()
    ).one_or_none()
    if row is None:
        values = {
            "api_key": call.api_key,
            "key": call.key,
            "route": call.route,
            "digest": call.digest,
            "request_id": new_id,
            "created_at": now_ms,
        }
        connection.execute(insert(KEYS).values(values))
        return new_id
    return _again(connection, call, row, now_ms)


def keep(connection: Connection, api_key: str, key: str, kept: Kept) -> None:
    """Keep the answer of a call that went well."""
    connection.execute(
        update(KEYS).where(_of(api_key, key)).values(status=kept.status, answer=kept.body)
    )


def forget(connection: Connection, api_key: str, key: str) -> None:
    """Keep nothing of a call that was refused before it wrote anything."""
    connection.execute(delete(KEYS).where(_of(api_key, key)))


def give_up(connection: Connection, api_key: str, key: str, now_ms: int) -> None:
    """Let the next call go on at once, with the same id: this call may have written its record."""
    connection.execute(update(KEYS).where(_of(api_key, key)).values(created_at=now_ms - LEASE_MS))


def in_use() -> ProblemError:
    """The problem of a call whose twin is under way."""
    detail = "A call with this Idempotency-Key is under way: try again for its answer"
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ProblemError(HTTPStatus.CONFLICT, "idempotency_key_in_use", detail, headers=headers)


def _again(
    connection: Connection, call: Asked, row: Row[tuple[object, ...]], now_ms: int
) -> str | Kept:
    if (row.route, row.digest) != (call.route, call.digest):
        detail = "This Idempotency-Key came with another call before: choose a new one"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
    if row.status is not None:
        return Kept(row.status, row.answer)
    if now_ms - row.created_at < LEASE_MS:
        raise in_use()
    connection.execute(update(KEYS).where(_of(call.api_key, call.key)).values(created_at=now_ms))
    request_id: str = row.request_id
    return request_id


def _of(api_key: str, key: str) -> ColumnElement[bool]:
    return and_(KEYS.c.api_key == api_key, KEYS.c.key == key)
