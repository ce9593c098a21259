"""Opening the SQL database: schema up to date, once, with clear refusals; SQLite and PostgreSQL."""

import multiprocessing
import os
import stat
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, func, insert, inspect, select, text

from streams.cli.exits import ExitCode, exit_code
from streams.database.engine import SQLITE, open_database, place, watch_disk, writing
from streams.database.engine import database_url as url_of
from streams.database.schema import AUDIT, METADATA, POSITIONS
from streams.errors import DatabaseError, SettingsError
from streams.metrics import Metrics
from streams.settings import Settings, load
from tests.support.postgres import PASSWORD, PostgresServer

PROCESSES = 6


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(clean_environment: None) -> None:
    """What the developer's shell sets must not change a test."""


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with an empty database."""
    return load(database_url=database_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An open database."""
    opened = open_database(settings)
    yield opened
    opened.dispose()


def _open(database_url: str) -> int:
    """Open in a process of its own; how many tables there are then."""
    engine = open_database(load(database_url=database_url))
    try:
        return len(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _position(partition: int) -> dict[str, object]:
    topic = {"topic": "runs", "partition": partition, "topic_id": "x"}
    return topic | {"next_offset": 0, "as_of": 0}


def test_migrations_lead_to_the_schema(engine: Engine) -> None:
    """What the steps make is exactly what the code expects."""
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_indexes_of_some_rows_hold_only_those(engine: Engine) -> None:
    """Alembic doesn't compare the condition of an index, so that is done here."""
    dialect = engine.dialect.name
    found = {
        index["name"]: index.get("dialect_options", {}).get(f"{dialect}_where") is not None
        for table in METADATA.sorted_tables
        for index in inspect(engine).get_indexes(table.name)
    }
    wanted = {
        index.name: index.dialect_options[dialect]["where"] is not None
        for table in METADATA.sorted_tables
        for index in table.indexes
    }
    assert found == wanted


def test_what_was_written_is_there_after_opening_again(settings: Settings) -> None:
    """Opening keeps what a database holds."""
    for number in range(2):
        engine = open_database(settings)
        with writing(engine) as connection:
            connection.execute(insert(POSITIONS), [_position(number)])
        engine.dispose()
    engine = open_database(settings)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(POSITIONS)) == 2
    engine.dispose()


@pytest.mark.slow
def test_processes_that_open_at_once_do_not_collide(database_url: str) -> None:
    """Each finds all tables, whoever makes them."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        tables = list(pool.map(_open, [database_url] * PROCESSES))
    assert tables == [len(METADATA.tables) + 1] * PROCESSES


def test_a_schema_of_a_newer_release_is_refused(settings: Settings, engine: Engine) -> None:
    """Writing to what we don't know could break it."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"\(9999\) is newer than this release"):
        open_database(settings)


def test_a_transaction_is_undone_where_its_block_fails(engine: Engine) -> None:
    """Nothing of it stays."""

    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(POSITIONS), [_position(0)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(POSITIONS)) == 0


def test_a_reader_does_not_see_what_comes_while_it_reads(tmp_path: Path) -> None:
    """SQLite's readers and its writer don't wait for each other."""
    engine = open_database(load(database_url=f"sqlite:///{tmp_path}/a.db"))
    count = select(func.count()).select_from(AUDIT)
    row = {"id": "1", "at": 0, "api_key": "k", "actor": "a", "action": "x", "target": "t"}
    with engine.begin() as reader:
        assert reader.scalar(count) == 0
        with writing(engine) as writer:
            writer.execute(insert(AUDIT), [row | {"dry_run": False, "outcome": "done"}])
        assert reader.scalar(count) == 0
    with engine.connect() as later:
        assert later.scalar(count) == 1
    engine.dispose()


def test_sqlite_lies_in_the_state_directory_unless_told_otherwise(tmp_path: Path) -> None:
    """A fresh machine needs no database server."""
    settings = load(state_dir=tmp_path / "a" / "b")
    open_database(settings).dispose()
    assert (tmp_path / "a" / "b" / "countermand.db").exists()
    assert place(url_of(settings)) == f"SQLite in {tmp_path}/a/b/countermand.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:a.db?uri=true",
        f"mysql://ann:{PASSWORD}@h/d",
        f"postgresql://ann:{PASSWORD}@h:port/d",
        f"ann:{PASSWORD}@h/d",
    ],
)
def test_a_wrong_url_is_named_by_its_variable_without_its_password(url: str) -> None:
    """The message says what is wanted, not what was given."""
    with pytest.raises(SettingsError) as refused:
        open_database(load(database_url=url))
    assert "COUNTERMAND_DATABASE_URL: sqlite:////path" in str(refused.value)
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


def test_an_unreachable_server_is_named_without_its_password() -> None:
    """The message has host and database; its exit code is one that scripts can tell."""
    url = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/d?application_name={PASSWORD}"
    with pytest.raises(DatabaseError) as refused:
        open_database(load(database_url=url))
    assert "PostgreSQL on 127.0.0.1:1, database d; COUNTERMAND_DATABASE_URL" in str(refused.value)
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert exit_code(refused.value) == ExitCode.DATABASE


def test_a_missing_database_is_an_error_of_ours(postgres: PostgresServer) -> None:
    """So is what PostgreSQL answers."""
    url = postgres.new_database() + "-missing"
    with pytest.raises(DatabaseError, match="does not exist"):
        open_database(load(database_url=url))


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    """Nothing writes over what somebody else keeps there."""
    path = tmp_path / "notes.txt"
    path.write_text("mine " * 1_000, encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(DatabaseError, match="file is not a database"):
        open_database(load(database_url=f"sqlite:///{path}"))
    assert path.read_text(encoding="utf-8") == "mine " * 1_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file lies where the folder should be."""
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="SQLite in"):
        open_database(load(database_url=f"sqlite:///{tmp_path}/file/a.db"))


def _modes(folder: Path) -> dict[str, str]:
    found = (folder, *folder.iterdir())
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in found}


def test_sqlite_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """With those that SQLite keeps beside, whatever the mask, and also if they were open before."""
    folder = tmp_path / "new"
    before = os.umask(0)
    try:
        for _ in range(2):
            engine = open_database(load(database_url=f"sqlite:///{folder}/a.db"))
            with writing(engine) as connection:
                connection.execute(select(1))
            private = {"new": "0o700"} | dict.fromkeys(("a.db", "a.db-wal", "a.db-shm"), "0o600")
            assert _modes(folder) == private
            engine.dispose()
            (folder / "a.db-wal").touch()
            for path in folder.iterdir():
                path.chmod(0o666)
    finally:
        os.umask(before)


def test_a_folder_that_was_chosen_stays_as_it_is(tmp_path: Path) -> None:
    """Only the state directory is Countermand's own."""
    tmp_path.chmod(0o755)
    open_database(load(database_url=f"sqlite:///{tmp_path}/a.db")).dispose()
    assert _modes(tmp_path) == {tmp_path.name: "0o755", "a.db": "0o600"}
    open_database(load(state_dir=tmp_path)).dispose()
    assert _modes(tmp_path)[tmp_path.name] == "0o700"


def test_the_disk_of_an_sqlite_file_is_watched(engine: Engine) -> None:
    """PostgreSQL's is on another machine, or of another process here."""
    metrics = Metrics()
    watch_disk(engine, metrics)
    folder = str(Path(str(engine.url.database)).parent)
    size = metrics.registry.get_sample_value("countermand_disk_size_bytes", {"folder": folder})
    assert (size is not None) == (engine.url.get_backend_name() == SQLITE)
