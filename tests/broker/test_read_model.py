"""The read model on a real Kafka: whatever ends it, its tables hold what Kafka holds."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine, func, insert, select, text, update

from streams.cli.exits import ExitCode
from streams.clock import now_ms
from streams.database.activity import LATENCIES
from streams.database.engine import writing
from streams.database.schema import API_KEYS, AUDIT, IDEMPOTENCY_KEYS, POSITIONS, RUNS
from streams.health import Health
from streams.kafka.admin import admin_client
from streams.kafka.topics import create_topics
from streams.metrics import Metrics
from streams.read_model.figures import Figures
from streams.read_model.process import ReadModel
from streams.read_model.rebuild import rebuild
from tests.support import records
from tests.support.broker import unique_name
from tests.support.cli import json_of, run
from tests.support.copying import PATIENCE_S, Copying
from tests.support.deadline import eventually
from tests.support.joining import Joining, ids
from tests.support.postgres import PostgresServer
from tests.support.recount import counted
from tests.support.services import Service

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
KILLED = 137
REBALANCES = "countermand_rebalances_total"
REJOINS = "countermand_rejoins_total"
REFUSED = 'countermand_read_model_refused_total{{stage="{}"}}'


@pytest.fixture
def copying(kafka: str, tmp_path: Path, database_url: str) -> Iterator[Copying]:
    """Topics and a database of this test alone, of each kind."""
    found = Copying(kafka, unique_name("copy"), tmp_path, database_url)
    yield found
    found.close()


@pytest.fixture
def on_sqlite(kafka: str, tmp_path: Path) -> Iterator[Copying]:
    """The same, on SQLite alone: for what doesn't depend on the database."""
    found = Copying(kafka, unique_name("copy"), tmp_path, f"sqlite:///{tmp_path}/a.db")
    yield found
    found.close()


def await_ready(*services: Service) -> None:
    """Wait until they are at work."""
    eventually(lambda: all(one.is_ready for one in services), PATIENCE_S)


def put_requests(copying: Copying, number: int) -> None:
    """A request, and all that is told of one."""
    name = records.request_id(number)
    body = {"app_id": "reports", "function_id": "generate", "started_before": 5}
    with copying.transaction():
        copying.put("requests", name, records.request(number, "cancel_runs", body))
        for partition in (0, 1):
            told = records.progress(number, partition, scanned=number)
            copying.put("request-progress", f"{name}/{partition}", told)
        failed = records.failure(number, 0, number)
        copying.put("request-progress", f"{name}/0/{failed['run_id']}", failed)


def test_crashes_lose_and_repeat_nothing(copying: Copying) -> None:
    """Killed before a commit, after one, and anywhere under load: rows are those of Kafka."""
    service = copying.service()
    copying.put_some(6_000)
    put_requests(copying, 1)
    for step in ("read_model_before_commit:2", "read_model_after_commit:1"):
        service.start(crash_at=step)
        assert service.wait(PATIENCE_S) == KILLED
    service.start()
    await_ready(service)
    for number in range(2, 5):
        copying.put_some(2_000)
        put_requests(copying, number)
        service.kill()
        service.start()
    copying.put_some(2_000)
    copying.check_equal()
    copying.check_counted()
    assert service.end() == 0


def test_two_at_once_and_one_that_is_given_up_write_nothing_twice(copying: Copying) -> None:
    """A frozen process that wakes finds its partitions moved; the rows stay right throughout."""
    first, second = (copying.service(number, static=False) for number in (1, 2))
    first.start()
    await_ready(first)
    copying.put_some(1_000)
    copying.check_equal()  # a process frozen inside a transaction would hold SQLite's lock
    assigned = first.metric(REBALANCES)
    first.pause()
    second.start()
    await_ready(second)
    copying.put_some(3_000)
    eventually(
        lambda: second.metric('countermand_read_model_rows_total{step="change_run"}'), PATIENCE_S
    )
    first.resume()
    eventually(lambda: first.metric(REBALANCES) > assigned, PATIENCE_S)
    copying.put_some(3_000)
    await_ready(first, second)
    copying.put_some(1_000)
    copying.check_equal()
    copying.check_counted()


def test_a_read_model_that_was_fenced_joins_again(on_sqlite: Copying) -> None:
    """Another process had its name, while it was frozen: it makes a new consumer and goes on."""
    first, second = (
        on_sqlite.service(number, static=False, GROUP_INSTANCE_ID="same") for number in (1, 2)
    )
    first.start()
    await_ready(first)
    on_sqlite.put_some(500)
    on_sqlite.check_equal()  # a process frozen inside a transaction would hold SQLite's lock
    first.pause()
    second.start()
    on_sqlite.put_some(500)
    on_sqlite.check_equal()
    first.resume()
    eventually(lambda: first.metric(REJOINS), PATIENCE_S)
    assert second.end() == 0
    on_sqlite.put_some(500)
    on_sqlite.check_equal()
    await_ready(first)
    assert first.end() == 0


def test_a_topic_that_is_made_anew_replaces_its_rows(on_sqlite: Copying) -> None:
    """While the read model runs, and while it doesn't."""
    copying, admin = on_sqlite, admin_client(on_sqlite.settings)
    service = copying.service()
    service.start()
    for number in (1, 2):
        with copying.transaction():
            for one in range(5 * number):
                copying.put_run(records.run(100 * number + one))
        put_requests(copying, number)
        copying.check_equal()
        if number == 2:
            assert service.end() == 0
        _make_anew(copying, admin)
    with copying.transaction():
        for one in range(15):
            copying.put_run(records.run(300 + one))
    service.start()
    copying.check_equal()
    assert len(copying.held()["requests"]) == 2


def _make_anew(copying: Copying, admin: AdminClient) -> None:
    topic = f"{copying.settings.topic_prefix}runs"
    admin.delete_topics([topic])[topic].result()

    def is_back() -> bool:
        return topic in create_topics(copying.settings).created

    eventually(is_back)


def test_bad_records_are_counted_and_the_rest_goes_on(on_sqlite: Copying) -> None:
    """On every topic; what doesn't fit the database too."""
    large = {"topic": "t", "partition": 0, "offset": 1 << 70}
    service = on_sqlite.service()
    service.start()
    with on_sqlite.transaction():
        for topic in ("runs", "requests", "request-progress"):
            on_sqlite.put(topic, "x", b"no json")
        on_sqlite.put_run(records.run(2, source=large))
        on_sqlite.put_run(records.run(1))
    eventually(lambda: list(on_sqlite.held()["runs"]) == [records.run_id(1)], PATIENCE_S)
    eventually(lambda: service.metric(REFUSED.format("database")) == 1, PATIENCE_S)
    eventually(lambda: service.metric(REFUSED.format("decode")) == 3, PATIENCE_S)
    await_ready(service)
    assert service.end() == 0
    assert service.said("A record can't be read") == 3
    assert service.said("no json") == 0


def test_old_runs_go(on_sqlite: Copying) -> None:
    """By the setting, as soon as it starts."""
    with on_sqlite.transaction():
        on_sqlite.put_run(records.run(1))
        on_sqlite.put_run(records.cancelled(2))
    first, second = on_sqlite.service(), on_sqlite.service(RETENTION_RUNS="1m")
    first.start()
    on_sqlite.check_equal()
    assert first.end() == 0
    second.start()
    eventually(lambda: list(on_sqlite.held()["runs"]) == [records.run_id(1)], PATIENCE_S)


def test_a_database_that_is_away_is_waited_for(kafka: str, tmp_path: Path) -> None:
    """Not ready meanwhile, but alive; nothing is lost."""
    server = PostgresServer()
    try:
        server.start()
        copying = Copying(kafka, unique_name("copy"), tmp_path, server.new_database())
        service = copying.service()
        service.start()
        copying.put_some(500)
        copying.check_equal()
        copying.engine.dispose()
        server.stop()
        copying.put_some(500)
        eventually(lambda: not service.is_ready, PATIENCE_S)
        assert "hunter" not in service.readiness + service.log.read_text(encoding="utf-8")
        server.start()
        copying.check_equal()
        await_ready(service)
        copying.close()
    finally:
        server.remove()


def test_what_joiners_write_becomes_rows(joining: Joining, tmp_path: Path) -> None:
    """The records of a real joiner, field by field."""
    joiner = joining.joiner()
    joiner.start()
    joining.await_ready(joiner)
    joining.feed.start(*ids("run", 60))
    joining.feed.stop(*ids("run", 25))
    joining.feed.complete()
    joining.await_applied()
    copying = Copying(
        joining.settings.kafka_bootstrap_servers,
        joining.settings.topic_prefix.removesuffix("."),
        tmp_path,
        f"sqlite:///{tmp_path}/a.db",
    )
    service = copying.service()
    service.start()
    copying.check_equal()
    copying.check_counted()
    kinds: Counter[str] = Counter()
    for (_, _, kind), number in counted(copying.engine).items():
        kinds["latency" if kind in LATENCIES else kind] += number
    # Each twice: for its function, and for all together.
    assert kinds == {"scheduled": 120, "latency": 50}
    statuses = [row["status"] for row in copying.held()["runs"].values()]
    assert (statuses.count("cancelled"), statuses.count("scheduled")) == (25, 35)
    copying.close()


def _keep_something(engine: Engine) -> None:
    audit = {"id": "1", "at": 0, "api_key": "k", "actor": "a", "action": "x", "target": "t"}
    key = {"id": "k", "name": "ann", "role": "admin", "digest": b"d", "created_at": 0}
    call = {"api_key": "k", "key": "i", "route": "r", "digest": b"d", "request_id": "1"}
    with writing(engine) as connection:
        connection.execute(insert(AUDIT), [audit | {"dry_run": False, "outcome": "done"}])
        connection.execute(insert(API_KEYS), [key])
        connection.execute(insert(IDEMPOTENCY_KEYS), [call | {"created_at": 0}])


def _count(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (AUDIT, API_KEYS, IDEMPOTENCY_KEYS)
        ]


def test_a_rebuild_reads_everything_anew_and_keeps_the_rest(copying: Copying) -> None:
    """Rows that were wrong or missing are right; keys and audit trail stay."""
    url = copying.settings.database_url
    assert url is not None
    where = {
        "kafka_bootstrap_servers": copying.settings.kafka_bootstrap_servers,
        "topic_prefix": copying.settings.topic_prefix,
        "application_id": copying.settings.application_id,
        "partitions": "2",
        "database_url": url.get_secret_value(),
    }
    _keep_something(copying.engine)
    service = copying.service(static=False)
    service.start()
    copying.put_some(2_000)
    put_requests(copying, 1)
    copying.check_equal()
    refused = run("read-model", "rebuild", **where)
    assert refused.exit_code == ExitCode.REFUSED
    assert "stop them first" in refused.stderr
    assert service.end() == 0
    with writing(copying.engine) as connection:
        connection.execute(text("UPDATE runs SET status = 'expired', seq = 99"))
        connection.execute(text("DELETE FROM request_progress"))
        connection.execute(text("UPDATE positions SET topic = 'elsewhere.' || topic"))
    copying.put_some(500)
    done = json_of(run("read-model", "rebuild", "--json", **where))
    assert done["records"] >= 2_500
    assert copying.held() == copying.expected()
    assert _count(copying.engine) == [1, 1, 1]
    service.start()
    copying.put_some(500)
    copying.check_equal()
    copying.check_counted()


def test_a_rebuild_beside_a_read_model_does_no_harm(copying: Copying) -> None:
    """One that starts meanwhile, or was overlooked: each batch is written by one of them."""
    service = copying.service()
    copying.put_some(10_000)
    service.start()
    await_ready(service)
    other = copying.settings.model_copy(update={"application_id": unique_name("other")})
    with copying.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(POSITIONS)) == 6
    rebuild(other)
    copying.put_some(500)
    copying.check_equal()
    copying.check_counted()


def test_a_database_of_other_topics_is_refused(on_sqlite: Copying) -> None:
    """The process ends with the code for databases, and says what to do."""
    with writing(on_sqlite.engine) as connection:
        row = {"topic": "other.runs", "partition": 0, "topic_id": "x", "next_offset": 1, "as_of": 1}
        connection.execute(insert(POSITIONS), [row])
    service = on_sqlite.service()
    service.start()
    assert service.wait(PATIENCE_S) == ExitCode.DATABASE
    last = json.loads(service.log.read_text(encoding="utf-8").splitlines()[-2])
    assert "read-model rebuild" in last["error"]
    with on_sqlite.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(RUNS)) == 0


def test_runs_are_read_anew_after_a_long_absence(on_sqlite: Copying) -> None:
    """Kafka may have forgotten that a run was removed, so its row would stay for ever."""
    copying, service = on_sqlite, on_sqlite.service()
    copying.put_some(100)
    put_requests(copying, 1)
    service.start()
    copying.check_equal()
    assert service.end() == 0
    with writing(copying.engine) as connection:
        oldest = select(func.min(RUNS.c.run_id)).scalar_subquery()
        forgotten = update(RUNS).where(RUNS.c.run_id == oldest)
        connection.execute(forgotten.values(run_id="forgotten"))
        connection.execute(text("UPDATE positions SET as_of = 1"))
    service.start()
    copying.check_equal()
    copying.check_counted()
    assert "forgotten" not in copying.held()["runs"]


def test_positions_of_idle_partitions_stay_up_to_date(on_sqlite: Copying) -> None:
    """Nothing to read for days is no absence."""
    copying, stop = on_sqlite, threading.Event()
    copying.put_some(100)
    figures = Figures(copying.settings, Metrics(), Health())
    model = ReadModel(copying.settings, copying.engine, figures, stop, refresh_after_ms=0)
    thread = threading.Thread(target=model.run)
    thread.start()
    copying.check_equal()
    read_at = now_ms()

    def as_of() -> int:
        with copying.engine.connect() as connection:
            return connection.scalar(select(func.min(POSITIONS.c.as_of))) or 0

    eventually(lambda: as_of() > read_at, PATIENCE_S)
    stop.set()
    thread.join()
    copying.check_equal()
