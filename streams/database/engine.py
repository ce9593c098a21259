"""Opens the SQL database: SQLite on this machine or PostgreSQL, with its schema brought up to date.

Transactions of SQLite begin where SQLAlchemy says so, not where Python's driver guesses. One that
writes must be begun by `writing`: SQLite refuses at once a reader that turns into a writer after
somebody else wrote, however long it may wait for locks.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from streams.database.upgrade import upgrade
from streams.errors import DatabaseError, SettingsError
from streams.settings import Settings, variable

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
DEFAULT_FILE: Final = "countermand.db"
# How long a statement waits for locks, and a connection to be made.
_PATIENCE_S: Final = 30
_REACH_S: Final = 5
_ASK_EVERY_S: Final = 0.001
_WRITES: Final = "countermand_writes"
_VARIABLE: Final = variable("database_url")
_WANTED: Final = (
    f"{_VARIABLE}: sqlite:////path/of/a/file or postgresql://user:password@host/name is needed"
)


def open_database(settings: Settings) -> Engine:
    """An engine on the database of the settings, which has the schema of this release.

    Raises:
        SettingsError: the URL can't be used.
        DatabaseError: the database doesn't answer or refuses, or its schema is a newer release's.
    """
    url = database_url(settings)
    engine = _sqlite(url) if url.get_backend_name() == SQLITE else _postgresql(url)
    try:
        with translated(engine):
            if url.get_backend_name() == SQLITE:
                Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
            upgrade(engine, writing)
    except BaseException:
        engine.dispose()
        raise
    return engine


def database_url(settings: Settings) -> URL:
    """Where the database is, as SQLAlchemy wants it.

    Raises:
        SettingsError: it isn't the URL of an SQLite file or of PostgreSQL.
    """
    if settings.database_url is None:
        return URL.create(SQLITE, database=str(settings.state_dir / DEFAULT_FILE))
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):  # they may hold the text, and it a password
        raise SettingsError(_WANTED) from None
    backend = url.get_backend_name()
    if backend == SQLITE and url.database not in {None, "", ":memory:"}:
        return url.set(drivername=SQLITE)
    if backend in {POSTGRESQL, "postgres"}:
        return url.set(drivername=f"{POSTGRESQL}+psycopg")
    raise SettingsError(_WANTED)


def place(url: URL) -> str:
    """Where a database is, for people: no user, no password, no options."""
    if url.get_backend_name() == SQLITE:
        return f"SQLite in {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL on {url.host or 'this machine'}{port}, database {url.database}"


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, on a connection of its own; committed if the block goes well."""
    with engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn what the database driver raises into our error, with the place and no password.

    Raises:
        DatabaseError: the driver raised something.
    """
    try:
        yield
    except (DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(cause).split())
        password = engine.url.password
        reason = reason.replace(str(password), "…") if password else reason
        raise DatabaseError(
            f"The database can't be used ({place(engine.url)}; {_VARIABLE} says where): {reason}"
        ) from None


def _sqlite(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": _PATIENCE_S})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # Readers and the one writer don't wait for each other; no commit waits for the disk. Pages
        # of runs come from all over a large file, so 64 MiB of it stay in memory.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            _begin_writing(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_writing(connection: Connection) -> None:
    """Wait for SQLite's one writer by asking every ms.

    SQLite's own way to wait asks ever less often: beside a read model that is busy, one write of
    the API in a hundred took seven times as long as the transaction that it waited for.
    """
    end = time.monotonic() + _PATIENCE_S
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not _is_busy(error) or time.monotonic() > end:
                    raise
                time.sleep(_ASK_EVERY_S)
            else:
                return
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_PATIENCE_S * 1000}")


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _postgresql(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _REACH_S, "application_name": "countermand"},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        # Nobody waits for ever for a process that was frozen inside a transaction.
        for timeout in ("lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {timeout} = '{_PATIENCE_S}s'")
        cursor.close()
        connection.commit()

    return engine
