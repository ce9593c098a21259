"""`/v1/keys`: who may call the API; keys made, listed and revoked."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from streams.api.call import keys
from streams.api.call.api_key import ApiKey
from streams.api.call.call import CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.fields import Answer, Body, Reason, Time, example, optional_time, time_text
from streams.api.operations import operation
from streams.api.paging import CURSOR, Envelope, Listing, Page, decoder, envelope, page
from streams.api.problems import ProblemError
from streams.errors import NotFoundError

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=GuardedRoute)
_PLACE: Final = re.compile(r"[0-9]{1,15}-[0-9a-f]{1,32}", re.ASCII)


def _key_name(text: str) -> str:
    if not keys.is_name(text):
        raise PydanticCustomError("key_name", keys.NAME_RULE)
    return text


KeyName = Annotated[
    str, StringConstraints(min_length=1, max_length=keys.NAME_CHARS), AfterValidator(_key_name)
]


class KeyBody(Body):
    """Whose key to make, and what it may do."""

    model_config = example(name="deploy bot", role="operator")

    name: KeyName = Field(description="Whose key it is: it stands in the audit trail.")
    role: Role
    reason: Reason | None = Field(None, description="Why.")


class Key(Answer):
    """What may be shown of an API key."""

    id: str = Field(description="Its public part: `cmk_<id>_…`.")
    name: str
    role: str = Field(description="A role; one that this release doesn't know may do nothing.")
    created_at: Time
    revoked_at: Time | None


class NewKey(Key):
    """A key that was made just now."""

    key: str | None = Field(
        description="The key itself, which is shown in this answer alone; null where the call is a "
        "repeat. If the first answer was lost, revoke the key and make another."
    )


class KeyListing(Listing):
    """Which keys to list."""

    cursor: Annotated[str | None, decoder(_PLACE)] = CURSOR


@router.get("", **operation("listKeys", Role.ADMIN, 422))
def list_(service: CurrentService, asked: Annotated[KeyListing, Query()]) -> Page[Key]:
    """All keys, the newest first; revoked ones too, and never their secrets."""
    before = None if asked.cursor is None else _place(asked.cursor)
    # One more than asked for tells whether another page follows.
    found = keys.list_keys(service.engine, before=before, most=asked.limit + 1)
    shown = found[: asked.limit]
    last = _cursor(shown[-1]) if len(found) > asked.limit else None
    return page([Key(**_fields(key)) for key in shown], last)


@router.post("", **operation("createKey", Role.ADMIN, 422, body=True, repeatable=True))
def create(body: KeyBody, call: CurrentCall, service: CurrentService) -> Envelope[NewKey]:
    """Make a key; only its hash is kept, so that it can't be shown again, also not to a repeat."""
    call.about(keys.id_for(call), reason=body.reason)
    service.writer.announce(call)
    key, text = keys.create_key_for(service.engine, call, body.name, body.role)
    call.answer_again = envelope(NewKey(**_fields(key), key=None)).model_dump_json().encode()
    return envelope(NewKey(**_fields(key), key=text))


@router.delete("/{key_id}", **operation("revokeKey", Role.ADMIN, 404, 422))
def revoke(
    key_id: str,
    call: CurrentCall,
    service: CurrentService,
    reason: Annotated[Reason | None, Query(description="Why.")] = None,
) -> Envelope[Key]:
    """Let a key call no more, from at most a second later on; its own caller's, too."""
    call.about(key_id, reason=reason)
    service.writer.announce(call)
    try:
        key = keys.revoke_key(service.engine, key_id, call.at, actor=None)
    except NotFoundError:
        detail = f"There is no key {key_id}: GET /v1/keys lists those there are"
        raise ProblemError(HTTPStatus.NOT_FOUND, "key_not_found", detail) from None
    return envelope(Key(**_fields(key)))


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "created_at": time_text(key.created_at),
        "revoked_at": optional_time(key.revoked_at),
    }


def _cursor(key: ApiKey) -> str:
    created_at, id_ = keys.place_of(key)
    return f"{created_at}-{id_}"


def _place(cursor: str) -> keys.Place:
    created_at, _, id_ = cursor.partition("-")
    return int(created_at), id_
