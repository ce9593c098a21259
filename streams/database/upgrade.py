"""Brings a database's schema up to this release's, once, however many processes start together."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select

from streams.errors import DatabaseError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# PostgreSQL's lock for upgrades: any number, the same in every release.
_LOCK: Final = 0x636F756E746572

Writing: TypeAlias = Callable[[Engine], AbstractContextManager[Connection]]


def upgrade(engine: Engine, writing: Writing) -> None:
    """Run all migrations that the database hasn't had, in one transaction that `writing` begins.

    Raises:
        DatabaseError: the database has had a migration that this release doesn't know.
    """
    config = Config(attributes={})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if _revision(connection) == scripts.get_current_head():
            return
    with writing(engine) as connection:  # SQLite has one writer at a time
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        _refuse_unknown(_revision(connection), scripts)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    """The id of the last migration that the database has had; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_unknown(revision: str | None, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"The database's schema ({revision}) is newer than this release of Countermand knows "
            f"({scripts.get_current_head()}): install the release that made it, or a newer one"
        )
