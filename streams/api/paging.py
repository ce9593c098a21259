"""The envelope of every answer, and pages of lists: a cursor holds the last id of its page."""

import base64
import binascii
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, TypeVar

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Column, Connection, RowMapping, Select
from starlette.responses import Response

from streams.api.fields import Answer, Body, Time, time_text
from streams.clock import now_ms

T = TypeVar("T")

MOST: Final = 100
USUAL: Final = 20
_VERSION: Final = "c1:"
CURSOR: Final[Any] = Field(default=None, description="`next_cursor` of the page before.")
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_SLUG: Final = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)


class Metadata(Answer):
    """About an answer."""

    fetched_at: Time


class PageMetadata(Metadata):
    """About a page of a list."""

    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null: there is none."
    )


class Envelope(Answer, Generic[T]):
    """What every success answers with."""

    data: T
    metadata: Metadata


class Page(Answer, Generic[T]):
    """A page of a list."""

    data: list[T]
    metadata: PageMetadata


class Done(Answer):
    """That something was done."""

    ok: bool = True


def envelope(data: T) -> Envelope[T]:
    """One thing as an answer."""
    return Envelope(data=data, metadata=Metadata(fetched_at=time_text(now_ms())))


def page(data: Sequence[T], last_id: str | None) -> Page[T]:
    """A page as an answer; `last_id` is its last id if another page follows, else None."""
    found = PageMetadata(fetched_at=time_text(now_ms()), next_cursor=encode_cursor(last_id))
    return Page(data=list(data), metadata=found)


def written(data: object, status: int = HTTPStatus.OK, **metadata: object) -> Response:
    """An answer made without a model, which is faster: lists of runs are long."""
    about = {"fetched_at": time_text(now_ms())} | metadata
    body = orjson.dumps({"data": data, "metadata": about})
    return Response(body, status, media_type="application/json")


def encode_cursor(last_id: str | None) -> str | None:
    """The cursor of what follows an id; None where nothing does."""
    if last_id is None:
        return None
    return base64.urlsafe_b64encode(f"{_VERSION}{last_id}".encode()).decode()


def decoder(ids: re.Pattern[str]) -> AfterValidator:
    """The validator that reads the last id from a cursor; `ids` matches every id of the list."""

    def decode(cursor: str | None) -> str | None:
        if cursor is None:
            return None
        try:
            text = base64.urlsafe_b64decode(cursor.encode()).decode()
        except (binascii.Error, ValueError):
            text = ""
        last_id = text.removeprefix(_VERSION)
        if last_id == text or ids.fullmatch(last_id) is None:
            raise PydanticCustomError(
                "invalid_cursor", "is no cursor: send `next_cursor` of the page before, or none"
            )
        return last_id

    return AfterValidator(decode)


class Listing(Body):
    """The parameters of every list; an unknown parameter is refused, as it may be misspelt."""

    limit: int = Field(default=USUAL, ge=1, le=MOST, description="How many at most.")


class UlidListing(Listing):
    """A list whose things have ULIDs."""

    cursor: Annotated[str | None, decoder(_ULID)] = CURSOR


def fetch(
    connection: Connection, query: Select[Any], id_column: Column[str], asked: UlidListing
) -> tuple[list[RowMapping], str | None]:
    """The rows of one page, newest first, and the last id where another page follows.

    `query` has neither an order nor a limit; `id_column` has the ULIDs by which rows are listed.
    """
    if asked.cursor is not None:
        query = query.where(id_column < asked.cursor)
    # One row more than asked for tells whether another page follows.
    query = query.order_by(id_column.desc()).limit(asked.limit + 1)
    rows = list(connection.execute(query).mappings())
    last_id = rows[asked.limit - 1][id_column.name] if len(rows) > asked.limit else None
    return rows[: asked.limit], last_id


class SlugListing(Listing):
    """A list whose things have slugs."""

    cursor: Annotated[str | None, decoder(_SLUG)] = CURSOR
