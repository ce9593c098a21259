"""What `doctor` says of the database; each finding has its remedy. On both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, text, update

from streams.clock import now_ms
from streams.database.engine import open_database, writing
from streams.database.schema import METADATA, POSITIONS
from streams.doctor.checks import Result, Verdict
from streams.doctor.database import database
from streams.settings import Settings, load
from tests.support.api import NOWHERE
from tests.support.cli import run
from tests.support.postgres import PASSWORD

DAY_MS = 86_400_000


@pytest.fixture
def settings(clean_environment: None, database_url: str) -> Settings:
    """Settings with an empty database."""
    return load(database_url=database_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The database with its tables, and with positions of a read model at work."""
    opened = open_database(settings)
    row = {"topic": "runs", "topic_id": "x", "next_offset": 0, "as_of": now_ms()}
    with writing(opened) as connection:
        connection.execute(insert(POSITIONS), [row | {"partition": number} for number in (0, 1)])
    yield opened
    opened.dispose()


def found(settings: Settings) -> dict[str, Result]:
    """The results by name; whatever isn't well has a remedy."""
    results = {result.name: result for result in database(settings)}
    for result in results.values():
        assert (result.verdict is Verdict.OK) == (result.remedy == ""), result
    return results


def test_all_is_well(settings: Settings, engine: Engine) -> None:
    """Where it is and how large, its schema, that it takes writes, and how old the copy is."""
    results = found(settings)
    assert list(results) == ["database", "schema", "writing", "read model"]
    assert {result.verdict for result in results.values()} == {Verdict.OK}
    assert " MiB" in results["database"].found
    assert PASSWORD not in results["database"].found
    assert "s ago" in results["read model"].found


def test_it_changes_nothing(settings: Settings, engine: Engine) -> None:
    """All rows stay: what is written is a deletion of none."""
    found(settings)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM positions")).scalar() == 2


def test_no_tables_yet_is_a_warning(settings: Settings) -> None:
    """And no table is made."""
    engine = open_database(settings)
    METADATA.drop_all(engine)
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    results = found(settings)
    assert list(results) == ["database", "schema"]
    assert results["schema"].verdict is Verdict.WARNING
    # Not the database's own finding: other processes change how much of the disk is free.
    assert found(settings)["schema"] == results["schema"]
    engine.dispose()


def test_a_newer_schema_fails(settings: Settings, engine: Engine) -> None:
    """The release that made it must be installed."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    result = found(settings)["schema"]
    assert result.verdict is Verdict.FAILED
    assert "v9999" in result.found


def test_nothing_copied_or_an_old_copy_is_a_warning(settings: Settings, engine: Engine) -> None:
    """The oldest partition counts."""
    with writing(engine) as connection:
        old = {"as_of": now_ms() - 3 * DAY_MS}
        connection.execute(update(POSITIONS).where(POSITIONS.c.partition == 1).values(old))
    result = found(settings)["read model"]
    assert (result.verdict, "4320m" in result.found or "3d" in result.found) == (
        Verdict.WARNING,
        True,
    )
    with writing(engine) as connection:
        connection.execute(delete(POSITIONS))
    assert "nothing is copied" in found(settings)["read model"].found


def test_a_database_that_takes_no_writes_fails(settings: Settings, engine: Engine) -> None:
    """Whatever the reason: a replica, a right or a table that is missing."""
    assert settings.database_url is not None
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("ALTER TABLE runs RENAME TO gone"))  # root may write any file
        else:
            name = engine.url.database
            connection.execute(
                text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            )
    engine.dispose()
    assert found(settings)["writing"].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:hunter2@{NOWHERE}/x",
        "sqlite:////dev/null/a.db",
        "mysql://here/x",
    ],
)
def test_a_database_that_is_not_there_is_a_finding(
    clean_environment: None, url: str, tmp_path: Path
) -> None:
    """With what to do, and without its password; a file isn't made."""
    (result,) = found(load(database_url=url)).values()
    assert result.verdict is not Verdict.OK
    assert "hunter2" not in result.found
    (result,) = found(load(state_dir=tmp_path / "state")).values()
    assert result.verdict is Verdict.WARNING
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_it_without_a_broker(tmp_path: Path) -> None:
    """A sign, what was found, and the remedy below."""
    open_database(load(state_dir=tmp_path)).dispose()
    result = run("doctor", "-b", NOWHERE, state_dir=str(tmp_path))
    assert "✓ database: SQLite in" in result.stdout
    assert "! read model: nothing is copied from Kafka yet\n  → Run: countermand" in result.stdout
