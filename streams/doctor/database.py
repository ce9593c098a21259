"""The checks of `countermand doctor` that ask the SQL database; they change nothing in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy import Engine, delete, false, func, select, text

from streams.clock import now_ms
from streams.database.engine import (
    SQLITE,
    database_url,
    place,
    reach_database,
    translated,
    writing,
)
from streams.database.schema import METADATA, POSITIONS
from streams.database.upgrade import schema_of
from streams.doctor.checks import Result, Verdict, room, write_test
from streams.durations import format_duration
from streams.errors import CountermandError
from streams.settings import Settings
from topology import limits

Looked: TypeAlias = Callable[[Engine], Result]
_MIB: Final = 1 << 20
# A read model at work notes every minute that an idle partition's rows are up to date.
_OLD_MS: Final = 5 * limits.MINUTE_MS
_ELSEWHERE: Final = "set COUNTERMAND_DATABASE_URL to another place"


def database(settings: Settings) -> Iterator[Result]:
    """Whether the database is reached, has this release's tables, takes writes and is up to date.

    A check that only makes sense once another finds all well is left out otherwise.
    """
    try:
        url = database_url(settings)
        if url.get_backend_name() == SQLITE and not Path(str(url.database)).exists():
            yield _not_there(place(url), Path(str(url.database)).parent)
            return
        engine = reach_database(settings)
    except CountermandError as error:
        yield Result("database", Verdict.FAILED, str(error), "Set it right, or unset it")
        return
    try:
        for name, look, remedy in _CHECKS:
            result = _result(engine, name, look, remedy)
            yield result
            if result.verdict is Verdict.FAILED or (name == _SCHEMA and result.remedy):
                return
    finally:
        engine.dispose()


def _result(engine: Engine, name: str, look: Looked, remedy: str) -> Result:
    try:
        with translated(engine):
            return look(engine)
    except CountermandError as error:
        return Result(name, Verdict.FAILED, str(error), remedy)


def _not_there(where: str, folder: Path) -> Result:
    try:
        write_test(folder)
    except OSError as error:
        found = f"{where}: not there, and can't be made: {error.strerror}"
        return Result("database", Verdict.FAILED, found, f"Make the folder, or {_ELSEWHERE}")
    remedy = (
        "The API or the read model makes it when it starts. If they run, let this command have "
        "their COUNTERMAND_DATABASE_URL or COUNTERMAND_STATE_DIR"
    )
    return Result("database", Verdict.WARNING, f"{where}: not there yet", remedy)


def _reached(engine: Engine) -> Result:
    where, file = place(engine.url), Path(str(engine.url.database))
    with engine.connect() as connection:
        if engine.dialect.name != SQLITE:
            size = connection.scalar(select(func.pg_database_size(func.current_database())))
            return Result("database", Verdict.OK, f"{where}, {_mib(size or 0)}")
        connection.execute(text("SELECT 1"))
    size = sum(one.stat().st_size for one in (file, Path(f"{file}-wal")) if one.exists())
    return room("database", f"{where}, {_mib(size)}", file.parent, _ELSEWHERE)


def _schema(engine: Engine) -> Result:
    found = schema_of(engine)
    if not found.known:
        remedy = "Install the release that made it, or a newer one"
        what = f"{found.revision} is newer than {found.newest}, which this release knows"
        return Result(_SCHEMA, Verdict.FAILED, what, remedy)
    if found.revision is None:
        remedy = "Start the API or the read model: either makes the tables"
        return Result(_SCHEMA, Verdict.WARNING, "no tables yet", remedy)
    if found.revision != found.newest:
        remedy = "Start the API or the read model of this release: either brings it up to date"
        what = f"{found.revision} is older than this release's, {found.newest}"
        return Result(_SCHEMA, Verdict.WARNING, what, remedy)
    return Result(_SCHEMA, Verdict.OK, f"{found.revision}, this release's")


def _writable(engine: Engine) -> Result:
    with writing(engine) as connection:
        for table in METADATA.sorted_tables:
            connection.execute(delete(table).where(false()))
    return Result("writing", Verdict.OK, "all tables can be written")


def _copy(engine: Engine) -> Result:
    with engine.connect() as connection:
        oldest = connection.scalar(select(func.min(POSITIONS.c.as_of)))
    if oldest is None:
        remedy = "Run: countermand read-model run"
        return Result("read model", Verdict.WARNING, "nothing is copied from Kafka yet", remedy)
    age = max(0, now_ms() - oldest)
    unit = limits.MINUTE_MS if age > _OLD_MS else limits.SECOND_MS
    found = f"has copied all that was in Kafka {format_duration(max(age // unit, 1) * unit)} ago"
    if age > _OLD_MS:
        remedy = (
            "Run: countermand read-model run. If it runs already, its log and "
            "countermand_lag_records say what it waits for"
        )
        return Result("read model", Verdict.WARNING, found, remedy)
    return Result("read model", Verdict.OK, found)


def _mib(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"


_SCHEMA: Final = "schema"
_CHECKS: Final[tuple[tuple[str, Looked, str], ...]] = (
    ("database", _reached, f"Start it, or {_ELSEWHERE}"),
    (_SCHEMA, _schema, f"Mend it, or {_ELSEWHERE}"),
    ("writing", _writable, "Let its user write: the file and its folder, or all tables"),
    ("read model", _copy, f"Mend it, or {_ELSEWHERE}"),
)
