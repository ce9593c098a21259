"""The report app on a real broker: what its outbox sends, and what becomes of its runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import sessionmaker

from examples.report_app import reports
from examples.report_app.database import Database, migrate, open_engine
from examples.report_app.models import OutboxEvent, Status
from examples.report_app.outbox import Relay
from examples.report_app.reports import Work
from examples.report_app.settings import Settings as AppSettings
from streams.broker import LocalBroker
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.postgres import PostgresServer
from tests.support.report_app import PATIENCE_S, ReportApp, Visitor
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


def settings_for(bootstrap: str) -> Settings:
    """Topics that no other test uses."""
    name = unique_name("outbox")
    settings = load(kafka_bootstrap_servers=bootstrap, topic_prefix=f"{name}.", partitions=3)
    create_topics(settings)
    return settings


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> Iterator[Engine]:
    """A database of each kind, with its schema."""
    found = open_engine(AppSettings(tmp_path, database_url))
    migrate(found)
    yield found
    found.dispose()


def sent(settings: Settings, spec: topics.TopicSpec) -> list[tuple[str, dict[str, Any]]]:
    """The key and the event of each record of a topic."""
    return [
        ((message.key() or b"").decode(), orjson.loads(message.value() or b""))
        for message in read_all(settings, settings.topic(spec))
    ]


def unsent(database: Database) -> int:
    """How many events wait."""
    waiting = select(OutboxEvent).where(OutboxEvent.sent_at.is_(None))
    with database() as session:
        return len(session.scalars(waiting).all())


def generate_and_cancel(database: Database, count: int) -> list[str]:
    """Ask for so many reports, and cancel each."""
    ids = [reports.create(database, "ann", f"r{number}", 2025) for number in range(count)]
    for id_ in ids:
        reports.request_generation(database, "ann", id_)
    for id_ in ids:
        reports.request_cancel(database, "ann", id_)
    return ids


def test_each_event_arrives_with_its_id(kafka: str, engine: Engine) -> None:
    """Once, in the topic and under the key where it belongs; a cancel after what it cancels."""
    settings = settings_for(kafka)
    database = sessionmaker(engine)
    ids = generate_and_cancel(database, 20)
    with Relay(engine, settings):
        eventually(lambda: not unsent(database), PATIENCE_S)
    requested, cancelled = sent(settings, topics.EVENTS), sent(settings, topics.CANCELS)
    for found, name in ((requested, reports.REQUESTED), (cancelled, reports.CANCELLED)):
        assert sorted(key for key, _ in found) == sorted(ids)
        assert all(event["data"]["reportId"] == key for key, event in found)
        assert {event["name"] for _, event in found} == {name}
    with database() as session:
        rows = session.scalars(select(OutboxEvent)).all()
    assert {row.event_id for row in rows} == {event["id"] for _, event in requested + cancelled}
    received = {
        (spec.name, (message.key() or b"").decode()): message.timestamp()[1]
        for spec in (topics.EVENTS, topics.CANCELS)
        for message in read_all(settings, settings.topic(spec))
    }
    for id_ in ids:
        assert received["events", id_] < received["cancels", id_]


def test_two_relays_are_one(kafka: str, postgres: PostgresServer, tmp_path: Path) -> None:
    """Several web apps on one PostgreSQL send an event once between them."""
    engine = open_engine(AppSettings(tmp_path, postgres.new_database()))
    migrate(engine)
    settings = settings_for(kafka)
    database = sessionmaker(engine)
    with Relay(engine, settings), Relay(engine, settings):
        generate_and_cancel(database, 20)
        eventually(lambda: not unsent(database), PATIENCE_S)
    assert len(sent(settings, topics.EVENTS)) == 20
    with Relay(engine, settings):  # the next one can
        generate_and_cancel(database, 1)
        eventually(lambda: not unsent(database), PATIENCE_S)
    engine.dispose()


def test_a_repeat_has_the_same_id(kafka: str, engine: Engine) -> None:
    """A relay that died before it could mark what was acknowledged sends it again."""
    settings = settings_for(kafka)
    database = sessionmaker(engine)
    id_ = reports.create(database, "ann", "Sales", 2025)
    reports.request_generation(database, "ann", id_)
    with Relay(engine, settings):
        eventually(lambda: not unsent(database), PATIENCE_S)
    with database.begin() as session:
        session.execute(update(OutboxEvent).values(sent_at=None))
    with Relay(engine, settings):
        eventually(lambda: not unsent(database), PATIENCE_S)
    (_, first), (_, again) = sent(settings, topics.EVENTS)
    assert first == again


def test_a_broker_that_is_away(prepared_cache: None, tmp_path: Path) -> None:
    """What was asked for meanwhile is kept, and sent in its order when the broker is back."""
    engine = open_engine(AppSettings.load({"REPORT_APP_DATA_DIR": str(tmp_path)}))
    migrate(engine)
    database = sessionmaker(engine)
    with LocalBroker(tmp_path / "kafka") as broker:
        settings = settings_for(broker.bootstrap_servers)
        with Relay(engine, settings) as relay:
            broker.kill()
            ids = generate_and_cancel(database, 5)
            for id_ in ids:  # runs that were cancelled by other means meanwhile
                request = str(reports.find(database, "ann", id_).request_id)
                reports.cancelled(database, Work(id_, request, "run"))
                reports.request_generation(database, "ann", id_)
            relay.wake()
            assert unsent(database) == 15
            broker.start()
            eventually(lambda: not unsent(database), PATIENCE_S)
            for spec, count in ((topics.EVENTS, 2), (topics.CANCELS, 1)):
                found = sent(settings, spec)
                with database() as session:
                    rows = session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)).all()
                for id_ in ids:
                    wanted = [
                        row.event_id
                        for row in rows
                        if (row.report_id, row.topic) == (id_, spec.name)
                    ]
                    # A record that arrived though its acknowledgement didn't is sent again.
                    arrived = dict.fromkeys(event["id"] for key, event in found if key == id_)
                    assert list(arrived) == wanted
                    assert len(wanted) == count
    engine.dispose()


@pytest.fixture(scope="module")
def app(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportApp]:
    """Everything, for all tests below."""
    # Long enough to cancel a report in each stage, also on a busy machine.
    stages = {"SLEEP": "4s", "COMPUTE_SECONDS": "6"}
    with ReportApp(kafka, tmp_path_factory.mktemp("report-app"), **stages) as found:
        yield found


@pytest.fixture(scope="module")
def ann(app: ReportApp) -> Iterator[Visitor]:
    """Somebody who is signed in."""
    with Visitor(app.url, "ann") as found:
        yield found


def test_a_report_is_generated(app: ReportApp, ann: Visitor) -> None:
    """Its file has the figures and the sums; its run has completed."""
    ann.create("complete")
    ann.ask(app.report("ann", "complete"), "generate")
    report = app.reaches("ann", "complete", Status.GENERATED)
    assert app.left_files(report) == [f"{report.run_id}.csv"]
    lines = (app.settings.files / report.id / f"{report.run_id}.csv").read_text().splitlines()
    assert len(lines) == 48 + 4
    assert lines[-1] == "west,total,6846"
    eventually(lambda: app.run_of(report)["status"] == "completed", PATIENCE_S)
    assert app.run_of(report)["run_id"] == report.run_id


@pytest.mark.parametrize("stage", [None, "settle", "compute"])
def test_a_report_is_cancelled(app: ReportApp, ann: Visitor, stage: str | None) -> None:
    """At once, while it sleeps, and in a step: cancelled when its run has stopped, no sooner."""
    title = f"cancelled in {stage}"
    ann.create(title)
    ann.ask(app.report("ann", title), "generate")
    if stage is not None:
        app.is_at("ann", title, stage)
    ann.ask(app.report("ann", title), "cancel")
    report = app.reaches("ann", title, Status.CANCELLED)
    run = app.run_of(report)
    assert run["status"] == "cancelled"
    assert run.get("started_at") is None or run["stopped_at"] is not None
    assert report.cancelled_by == "ann"
    assert app.left_files(report) == []
    assert ann.ask(report, "cancel").json() == {"error": "Report is not currently generating"}


def test_a_report_is_generated_after_a_cancel(app: ReportApp, ann: Visitor) -> None:
    """The cancel of the last time doesn't cancel this time."""
    ann.create("again")
    for _ in range(3):
        ann.ask(app.report("ann", "again"), "generate")
        app.is_at("ann", "again", "settle")
        ann.ask(app.report("ann", "again"), "cancel")
        app.reaches("ann", "again", Status.CANCELLED)
    ann.ask(app.report("ann", "again"), "generate")
    assert app.reaches("ann", "again", Status.GENERATED).cancelled_at is None


def test_a_report_fails(app: ReportApp, ann: Visitor) -> None:
    """It says why, and its run has failed, not been cancelled."""
    ann.create("later", year=2031)
    ann.ask(app.report("ann", "later"), "generate")
    report = app.reaches("ann", "later", Status.FAILED)
    assert report.error == "There are no figures for 2031"
    eventually(lambda: app.run_of(report)["status"] == "failed", PATIENCE_S)


@pytest.mark.soak
def test_both_are_killed(kafka: str, tmp_path: Path, postgres: PostgresServer) -> None:
    """The worker in a step, the web app before it could send a cancel: all goes on where it was."""
    titles = ("killed", "killed and cancelled")
    url = postgres.new_database()
    with (
        ReportApp(kafka, tmp_path, DATABASE_URL=url, COMPUTE_SECONDS="10") as app,
        Visitor(app.url, "ann") as ann,
    ):
        for title in titles:
            ann.create(title)
            ann.ask(app.report("ann", title), "generate")
        for title in titles:
            app.is_at("ann", title, "compute")
        app.worker.kill()
        app.web.kill()
        reports.request_cancel(app.database, "ann", app.report("ann", titles[1]).id)
        app.web.start()
        eventually(lambda: not unsent(app.database), PATIENCE_S)
        app.worker.start()
        found = app.reaches("ann", titles[1], Status.CANCELLED, Status.GENERATED)
        assert (found.status, app.left_files(found)) == (Status.CANCELLED, [])
        app.reaches("ann", titles[0], Status.GENERATED)
