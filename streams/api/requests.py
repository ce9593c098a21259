"""Requests as the database has them."""

from http import HTTPStatus
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, RowMapping, select
from sqlalchemy.dialects import postgresql, sqlite

from streams.api.fields import Row, Slug
from streams.api.paging import UlidListing, fetch
from streams.api.problems import ProblemError
from streams.database.engine import POSTGRESQL
from streams.database.schema import REQUESTS
from topology import codec
from topology.records import CANCEL_RUNS, CancelRunsBody


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
    return fetch(connection, query, REQUESTS.c.request_id, asked)


def find_cancellation(connection: Connection, cancellation_id: str) -> RowMapping:
    """The request of a cancellation.

    Raises:
        ProblemError: 404.
    """
    row = find_request(connection, CANCEL_RUNS, cancellation_id)
    if row is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "cancellation_not_found", "Cancellation not found")
    return row


def cancellation_body(row: Row) -> CancelRunsBody:
    """What a cancellation asks for; `row` is its request."""
    return codec.decode_json(row["body"].encode(), CancelRunsBody)


def add_request(connection: Connection, row: dict[str, Any]) -> None:
    """Add a request's row, unless the read model has already added it."""
    kind = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    connection.execute(kind.insert(REQUESTS).values(row).on_conflict_do_nothing())
