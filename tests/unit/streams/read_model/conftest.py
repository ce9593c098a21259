"""An open, empty database of each kind."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from streams.database.engine import open_database
from streams.settings import Settings, load


@pytest.fixture
def settings(clean_environment: None, database_url: str) -> Settings:
    """Settings with a database."""
    return load(database_url=database_url, topic_prefix="t.")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The database, open."""
    opened = open_database(settings)
    yield opened
    opened.dispose()
