"""Opens the database: SQLite for one machine, PostgreSQL for more."""

from pathlib import Path
from typing import Any, Final, TypeAlias

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event, func, make_url, select
from sqlalchemy.orm import Session, sessionmaker

from examples.report_app.settings import Settings

# `with database.begin() as session:` is one transaction.
Database: TypeAlias = sessionmaker[Session]

_INI: Final = Path(__file__).with_name("alembic.ini")
_PATIENCE_S: Final = 30
# Any number that nobody else locks.
_MIGRATION_LOCK: Final = 0x7265706F727473


def open_engine(settings: Settings) -> Engine:
    """An engine on the database of the settings."""
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        return sqlalchemy.create_engine(
            url.set(drivername="postgresql+psycopg"), pool_pre_ping=True
        )
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": _PATIENCE_S})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own
        # Web app and worker share the file: readers don't wait for the one who writes.
        connection.execute("PRAGMA journal_mode = WAL")

    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema up to date, once, whoever starts at the same time."""
    config = Config(_INI)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
