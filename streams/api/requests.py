"""Requests as the database has them."""

from pydantic import Field
from sqlalchemy import Connection, RowMapping, select

from streams.api.fields import Slug
from streams.api.paging import UlidListing
from streams.database.schema import REQUESTS


class RequestListing(UlidListing):
    """Which requests to list."""

    function_id: Slug | None = Field(default=None, description="The function's slug.")


def find_request(connection: Connection, kind: str, request_id: str) -> RowMapping | None:
    """One request of a type; None where there is none."""
    mine = (REQUESTS.c.request_id == request_id) & (REQUESTS.c.type == kind)
    return connection.execute(select(REQUESTS).where(mine)).mappings().one_or_none()


def list_requests(
    connection: Connection, kind: str, asked: RequestListing
) -> tuple[list[RowMapping], str | None]:
    """Requests of a type, the newest first, and where the next page goes on."""
    query = select(REQUESTS).where(REQUESTS.c.type == kind)
    if asked.function_id is not None:
        query = query.where(REQUESTS.c.function_id == asked.function_id)
    if asked.cursor is not None:
        query = query.where(REQUESTS.c.request_id < asked.cursor)
    query = query.order_by(REQUESTS.c.request_id.desc()).limit(asked.limit + 1)
    rows = list(connection.execute(query).mappings())
    last_id = rows[asked.limit - 1]["request_id"] if len(rows) > asked.limit else None
    return rows[: asked.limit], last_id
