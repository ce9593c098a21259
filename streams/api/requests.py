"""Requests as the database has them: found by id or listed, with how far they are."""

from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from pydantic import Field
from sqlalchemy import Connection, RowMapping, select

from streams.api.call.service import Service
from streams.api.fields import Row, Slug
from streams.api.paging import UlidListing, fetch
from streams.api.problems import ProblemError
from streams.api.progress import Progress, read_progress
from streams.database.schema import REQUESTS
from topology import codec
from topology.requests import CANCEL_RUNS, REPLAY

B = TypeVar("B", bound=msgspec.Struct)

# What the API calls the requests of a type.
_NAMES: Final = {CANCEL_RUNS: "cancellation", REPLAY: "replay"}


class RequestListing(UlidListing):
    """Which requests to list."""

    function_id: Slug | None = Field(default=None, description="The function's slug.")


def find_request(connection: Connection, kind: str, request_id: str) -> RowMapping:
    """The row of one request; `kind` is its type, `CANCEL_RUNS` or `REPLAY`.

    Raises:
        ProblemError: 404; there is no such request of this type.
    """
    mine = (REQUESTS.c.request_id == request_id) & (REQUESTS.c.type == kind)
    row = connection.execute(select(REQUESTS).where(mine)).mappings().one_or_none()
    if row is None:
        name = _NAMES[kind]
        detail = f"{name.capitalize()} not found"
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{name}_not_found", detail)
    return row


def find_with_progress(service: Service, kind: str, request_id: str) -> tuple[RowMapping, Progress]:
    """The row of one request, and how far it is.

    Raises:
        ProblemError: as `find_request`, and 503 where the partition count isn't known yet.
    """
    partitions = service.partitions.get()
    with service.engine.connect() as connection:
        row = find_request(connection, kind, request_id)
        progress = read_progress(connection, [request_id], partitions)
    return row, progress[request_id]


def list_requests(
    service: Service, kind: str, asked: RequestListing
) -> tuple[list[tuple[RowMapping, Progress]], str | None]:
    """A page of the requests of a type with how far they are, the newest first; as `fetch`."""
    query = select(REQUESTS).where(REQUESTS.c.type == kind)
    if asked.function_id is not None:
        query = query.where(REQUESTS.c.function_id == asked.function_id)
    partitions = service.partitions.get()
    with service.engine.connect() as connection:
        rows, last_id = fetch(connection, query, REQUESTS.c.request_id, asked)
        ids = [row["request_id"] for row in rows]
        progress = read_progress(connection, ids, partitions)
    return [(row, progress[row["request_id"]]) for row in rows], last_id


def read_body(row: Row, kind: type[B]) -> B:
    """What the request of a row asks for."""
    return codec.decode_json(row["body"].encode(), kind)
