"""Brings a database's schema up to this release's, once, however many processes start together."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

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


class Schema(NamedTuple):
    """The schema that a database has, by the id of its last migration.

    `revision` is None for an empty database. `newest` is this release's schema, and `known` says
    whether this release knows the database's.
    """

    revision: str | None
    newest: str | None
    known: bool


def schema_of(engine: Engine) -> Schema:
    """The schema that a database has now."""
    scripts = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        revision = _revision(connection)
    return Schema(revision, scripts.get_current_head(), _is_known(revision, scripts))


def upgrade(engine: Engine, writing: Writing) -> None:
    """Run all migrations that the database hasn't had, in one transaction that `writing` begins.

    Raises:
        DatabaseError: the database has had a migration that this release doesn't know.
    """
    config = _config()
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


def _config() -> Config:
    config = Config(attributes={})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    """The id of the last migration that the database has had; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def _is_known(revision: str | None, scripts: ScriptDirectory) -> bool:
    known = {script.revision for script in scripts.walk_revisions()}
    return revision is None or revision in known


def _refuse_unknown(revision: str | None, scripts: ScriptDirectory) -> None:
    if not _is_known(revision, scripts):
        raise DatabaseError(
            f"The database's schema ({revision}) is newer than this release of Countermand knows "
            f"({scripts.get_current_head()}): install the release that made it, or a newer one"
        )
