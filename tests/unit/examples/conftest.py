"""The report app's database, empty but for its figures."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from examples.report_app.database import Database, migrate, open_engine
from examples.report_app.settings import Settings


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the developer's own settings away for one test."""
    for name in list(os.environ):
        if name.startswith(("COUNTERMAND_", "REPORT_APP_")):
            monkeypatch.delenv(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> Settings:
    """Settings with files and an SQLite database of this test."""
    return Settings.load({"REPORT_APP_DATA_DIR": str(tmp_path)})


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A database of each kind, with its schema."""
    found = open_engine(Settings(tmp_path, database_url))
    migrate(found)
    yield found
    found.dispose()


@pytest.fixture
def database(engine: Engine) -> Database:
    """Transactions on it."""
    return sessionmaker(engine)
