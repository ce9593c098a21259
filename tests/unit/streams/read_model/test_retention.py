"""What is over for long goes, a little at a time; on both databases."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, Table, insert, select
from ulid_transform import ulid_at_time

from streams.database.engine import writing
from streams.database.schema import ACTIVITY, AUDIT, FAILURES, PROGRESS, REQUESTS, RUNS
from streams.read_model.retention import Retention
from streams.read_model.rows import failure_row, progress_row, request_row, run_row
from streams.settings import Settings, load
from tests.support import records
from tests.support.records import encoded, request_id, run_id

KEPT_MS = 30 * 86_400_000
NOW = records.RECEIVED + KEPT_MS


def put(engine: Engine, table: Table, *rows: tuple[Any, ...]) -> None:
    """Insert rows."""
    names = table.c.keys()
    with writing(engine) as connection:
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])


def ended(number: int, at: int | None) -> tuple[Any, ...]:
    """A run that ended then."""
    return run_row(encoded(records.run(number, ended_at=at)))[0]


def asked(number: int, received: int) -> tuple[Any, ...]:
    """A request that was received then."""
    return request_row(
        b"k", encoded(records.request(number, "cancel_run", {"run_id": "r"})), received
    )


def told(number: int, partition: int, **fields: Any) -> tuple[Any, ...]:
    """Progress of a request."""
    return progress_row(encoded(records.progress(number, partition, **fields)))


def ids(engine: Engine, table: Table) -> list[str]:
    """The first column of a table."""
    with engine.connect() as connection:
        return sorted(connection.scalars(select(next(iter(table.c)))))


def test_runs_go_when_they_ended_long_ago(settings: Settings, engine: Engine) -> None:
    """To the ms; one that never ended stays."""
    old = records.RECEIVED - 1
    put(engine, RUNS, ended(1, old), ended(2, old + 1), ended(3, None))
    assert Retention(settings, engine).step(NOW) == 1
    assert ids(engine, RUNS) == [run_id(2), run_id(3)]


def test_requests_go_with_all_that_is_told_of_them(settings: Settings, engine: Engine) -> None:
    """When they are old and nothing works on them."""
    old = records.RECEIVED - 1
    put(engine, REQUESTS, asked(1, old), asked(2, old), asked(3, NOW), asked(4, old))
    put(engine, PROGRESS, told(1, 0), told(1, 1, state="stopped"), told(2, 0))
    put(engine, PROGRESS, told(2, 1, state="running"), told(3, 0))
    put(engine, FAILURES, *(failure_row(encoded(records.failure(n, 0, 9))) for n in (1, 2)))
    assert Retention(settings, engine).step(NOW) == 2
    assert ids(engine, REQUESTS) == [request_id(2), request_id(3)]
    assert set(ids(engine, PROGRESS)) == {request_id(2), request_id(3)}
    assert ids(engine, FAILURES) == [request_id(2)]


def test_progress_without_its_request_goes_too(settings: Settings, engine: Engine) -> None:
    """Kafka may have forgotten the request before a rebuild."""
    put(engine, PROGRESS, told(1, 0, updated_at=records.RECEIVED - 1), told(2, 0, updated_at=NOW))
    assert Retention(settings, engine).step(NOW) == 1
    assert ids(engine, PROGRESS) == [request_id(2)]


def put_audit(engine: Engine, *times: int) -> None:
    """Insert audit rows of calls at these times."""
    row = {"api_key": "k", "actor": "a", "action": "x", "target": "t", "dry_run": False}
    rows = [row | {"id": ulid_at_time(at / 1_000), "at": at, "outcome": "done"} for at in times]
    with writing(engine) as connection:
        connection.execute(insert(AUDIT), rows)


def audited(engine: Engine) -> list[int]:
    """The times of the audit rows."""
    with engine.connect() as connection:
        return sorted(connection.scalars(select(AUDIT.c.at)))


def test_the_audit_trail_goes_after_400_days(settings: Settings, engine: Engine) -> None:
    """Long after the runs that it speaks of; a few rows at a time."""
    oldest = NOW - 400 * 86_400_000
    put_audit(engine, 1_000, oldest - 2, oldest - 1, oldest, NOW)
    retention = Retention(settings, engine, most=2)
    assert [retention.step(NOW) for _ in range(3)] == [2, 1, 0]
    assert audited(engine) == [oldest, NOW]


def test_how_long_the_audit_trail_is_kept_is_a_setting(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be years."""
    monkeypatch.setenv("COUNTERMAND_RETENTION_AUDIT", "3650d")
    kept = load().retention_audit
    assert kept == timedelta(days=3650)
    put_audit(engine, NOW - 3_651 * 86_400_000, NOW - 3_649 * 86_400_000)
    assert Retention(settings.model_copy(update={"retention_audit": kept}), engine).step(NOW) == 1
    assert audited(engine) == [NOW - 3_649 * 86_400_000]


def test_it_goes_in_small_steps_until_nothing_is_left(settings: Settings, engine: Engine) -> None:
    """And then looks again a minute later."""
    put(engine, RUNS, *(ended(number, 1) for number in range(5)))
    now = [0.0]
    steps = Retention(settings, engine, monotonic=lambda: now[0], most=2)
    assert [steps.step(NOW) for _ in range(4)] == [2, 2, 1, 0]
    put(engine, RUNS, ended(9, 1))
    assert steps.step(NOW) == 0
    now[0] += 60
    assert steps.step(NOW) == 1


def test_retention_is_a_setting(engine: Engine, settings: Settings) -> None:
    """Shorter ones keep less."""
    short = settings.model_copy(update={"retention_runs": timedelta(minutes=1)})
    put(engine, RUNS, *(ended(number, NOW - age) for number, age in zip(count(), (59_000, 61_000))))
    assert Retention(short, engine).step(NOW) == 1
    assert ids(engine, RUNS) == [run_id(0)]


def put_activity(engine: Engine, *minutes: int, function: str = "f") -> None:
    """Insert a count of a function in each minute."""
    put(engine, ACTIVITY, *((minute, function, "started", 1) for minute in minutes))


def activity(engine: Engine) -> list[tuple[str, int]]:
    """Function and minute of what is counted."""
    counted = select(ACTIVITY.c.function_id, ACTIVITY.c.minute).where(ACTIVITY.c.kind == "started")
    with engine.connect() as connection:
        return sorted((row.function_id, row.minute) for row in connection.execute(counted))


def trimmed(engine: Engine) -> list[int]:
    """The minutes that are marked since counts of single functions were removed."""
    marked = select(ACTIVITY.c.minute).where(ACTIVITY.c.kind == "trimmed")
    with engine.connect() as connection:
        return sorted(connection.scalars(marked))


def test_activity_goes_after_a_week(settings: Settings, engine: Engine) -> None:
    """A minute at a time."""
    oldest = NOW - 7 * 86_400_000
    put_activity(engine, 5, oldest - 1, oldest)
    put_activity(engine, 5, function="")
    retention = Retention(settings, engine)
    assert [retention.step(NOW) for _ in range(3)] == [1, 1, 0]
    assert activity(engine) == [("f", oldest)]


def test_too_much_activity_goes_sooner(settings: Settings, engine: Engine) -> None:
    """The oldest of single functions; that of all together stays, with a mark."""
    put_activity(engine, NOW - 4, NOW - 3, NOW - 2, NOW - 1)
    put_activity(engine, NOW - 4, NOW - 1, function="")
    retention = Retention(settings, engine, activity_rows=3)
    assert [retention.step(NOW) for _ in range(3)] == [1, 1, 0]
    assert activity(engine) == [("", NOW - 4), ("", NOW - 1), ("f", NOW - 2), ("f", NOW - 1)]
    assert trimmed(engine) == [NOW - 4, NOW - 3]
