"""Rows of requests, added with the answer, so that a request can be read before its record was."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from streams.database.engine import POSTGRESQL
from streams.database.schema import REQUESTS


def add_request(connection: Connection, row: dict[str, Any]) -> None:
    """Add the row of a request, unless the read model has added it already."""
    kind = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    connection.execute(kind.insert(REQUESTS).values(row).on_conflict_do_nothing())
