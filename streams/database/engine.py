"""Opens the SQL database, SQLite or PostgreSQL, and brings its schema up to date.

Transactions of SQLite begin where SQLAlchemy begins them, not where Python's driver guesses. A
transaction that writes must begin with `writing`: SQLite refuses the first write of a transaction
that began as a reader if another connection has written since, and no waiting helps.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from streams import private
from streams.database.upgrade import upgrade
from streams.errors import DatabaseError, SettingsError
from streams.metrics import Metrics
from streams.settings import Settings, variable

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"
DEFAULT_FILE: Final = "countermand.db"
# How long a statement waits for locks, how long connecting may take, how often a lock is asked for.
_PATIENCE_S: Final = 30
_REACH_S: Final = 5
_ASK_EVERY_S: Final = 0.001
_MEMORY: Final = ":memory:"
# What SQLite adds to the name of a database, for the files that belong to it.
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
_WRITES: Final = "countermand_writes"
_VARIABLE: Final = variable("database_url")
_WANTED: Final = (
    f"{_VARIABLE}: sqlite:////path/of/a/file or postgresql://user:password@host/name is needed"
)


def open_database(settings: Settings) -> Engine:
    """An engine on the settings' database, whose schema is upgraded to this release's.

    Raises:
        SettingsError: the URL isn't one of a supported database.
        DatabaseError: the database doesn't answer or refuses, or a newer release made its schema.
    """
    engine = reach_database(settings)
    try:
        with translated(engine), _private(settings, engine.url):
            upgrade(engine, writing)
    except BaseException:
        engine.dispose()
        raise
    return engine


def reach_database(settings: Settings) -> Engine:
    """An engine on the settings' database as it is; connections are made when they are asked for.

    Raises:
        SettingsError: the URL isn't one of a supported database.
    """
    url = database_url(settings)
    return _sqlite(url) if url.get_backend_name() == SQLITE else _postgresql(url)


def database_url(settings: Settings) -> URL:
    """The URL of the settings' database for SQLAlchemy; without a setting, an SQLite file.

    Raises:
        SettingsError: the URL names neither an SQLite file nor PostgreSQL.
    """
    if settings.database_url is None:
        return URL.create(SQLITE, database=str(settings.state_dir / DEFAULT_FILE))
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):  # their texts may contain the password
        raise SettingsError(_WANTED) from None
    backend = url.get_backend_name()
    if backend == SQLITE and not (url.database or _MEMORY).startswith((_MEMORY, "file:")):
        return url.set(drivername=SQLITE)
    if backend in {POSTGRESQL, "postgres"}:
        return url.set(drivername=f"{POSTGRESQL}+psycopg")
    raise SettingsError(_WANTED)


def place(url: URL) -> str:
    """A database's URL as a text for people, without user, password and options."""
    if url.get_backend_name() == SQLITE:
        return f"SQLite in {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL on {url.host or 'this machine'}{port}, database {url.database}"


def watch_disk(engine: Engine, metrics: Metrics) -> None:
    """Show how full the disk of an SQLite file is; PostgreSQL's is its own process's to show."""
    if engine.url.get_backend_name() == SQLITE:
        metrics.watch_disk(Path(str(engine.url.database)).parent)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, on a connection of its own; an error in the block undoes it."""
    with engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn errors of the database driver in the block into errors without a password.

    Raises:
        DatabaseError: the driver raised an error; the message names the database.
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


@contextmanager
def _private(settings: Settings, url: URL) -> Iterator[None]:
    """Keep SQLite's files for this user alone; the block must show that the first is a database.

    SQLite gives the files that it makes beside it the same rights. Its folder is closed to others
    too if it is the state directory, or new.
    """
    if url.get_backend_name() != SQLITE:
        yield
        return
    file = Path(str(url.database))
    if settings.database_url is None or not file.parent.exists():
        private.make_folder(file.parent)
    file = file.resolve()  # the others lie beside the one that a link leads to
    if not file.exists():
        private.make_file(file)
    yield
    for beside in _BESIDE:
        private.close(file.with_name(file.name + beside))


def _sqlite(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": _PATIENCE_S})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # Readers and the one writer don't wait for each other, and no commit waits for the disk.
        # Lists of runs read pages from all over a large file, so 64 MiB are kept in memory.
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


def add_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, but for those whose key the table has, or another process adds meanwhile."""
    kind = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    connection.execute(kind.insert(table).on_conflict_do_nothing(), rows)


def _begin_writing(connection: Connection) -> None:
    """Begin a transaction that writes; wait for another writer by trying every millisecond.

    SQLite itself would try ever less often: beside a busy read model, one write of the API in a
    hundred took seven times as long as the transaction that it waited for.
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
        # A process that is frozen inside a transaction must not block others for ever.
        for timeout in ("lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {timeout} = '{_PATIENCE_S}s'")
        cursor.close()
        connection.commit()

    return engine
