"""What becomes of a report: every change, from every status, on both databases."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from examples.report_app import reports
from examples.report_app.database import Database, migrate
from examples.report_app.models import Base, OutboxEvent, Report, Sale, Status
from examples.report_app.reports import (
    NotGeneratingError,
    ReportError,
    ReportNotFoundError,
    StillCancellingError,
    Work,
)

ANN = "ann"


def new_report(database: Database) -> str:
    """A report of Ann's."""
    return reports.create(database, ANN, "Sales", 2025)


def row(database: Database, report_id: str) -> Report:
    """A report as it is now."""
    return reports.find(database, ANN, report_id)


def begun(database: Database, report_id: str, run_id: str = "run-1") -> Work:
    """Ask for a generation, and let a run begin with it."""
    reports.request_generation(database, ANN, report_id)
    work = Work(report_id, str(row(database, report_id).request_id), run_id)
    reports.started(database, work)
    return work


def events(database: Database) -> list[dict[str, Any]]:
    """What is in the outbox, in order, with the topic."""
    with database() as session:
        rows = session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)).all()
    return [{"topic": one.topic, **json.loads(one.event)} for one in rows]


def test_a_generation(database: Database) -> None:
    """Idle, generating, generated; one event, with the request's id; times for each."""
    id_ = new_report(database)
    assert row(database, id_).status == Status.IDLE
    work = begun(database, id_)
    found = row(database, id_)
    assert (found.status, found.run_id) == (Status.GENERATING, "run-1")
    reports.progressed(database, work, "compute", 40)
    assert (row(database, id_).stage, row(database, id_).progress) == ("compute", 40)
    assert reports.completed(database, work)
    found = row(database, id_)
    assert (found.status, found.progress, found.stage) == (Status.GENERATED, 100, None)
    assert found.requested_at is not None
    assert found.started_at is not None
    assert found.completed_at is not None
    assert found.requested_at <= found.started_at <= found.completed_at
    assert events(database) == [
        {
            "topic": "events",
            "name": "report/generation.requested",
            "id": work.request_id,
            "data": {"reportId": id_, "userId": ANN},
            "user": {"id": ANN},
        }
    ]


def test_a_cancel(database: Database) -> None:
    """It is cancelling until its run has stopped, and only then cancelled."""
    id_ = new_report(database)
    work = begun(database, id_)
    assert reports.request_cancel(database, ANN, id_) == Status.CANCELLING
    found = row(database, id_)
    assert (found.status, found.cancelled_at) == (Status.CANCELLING, None)
    assert found.cancel_requested_at is not None
    reports.cancelled(database, work)
    found = row(database, id_)
    assert (found.status, found.cancelled_by) == (Status.CANCELLED, ANN)
    assert found.cancelled_at is not None
    _, cancel = events(database)
    assert (cancel["topic"], cancel["name"]) == ("cancels", "report/generation.cancelled")
    assert cancel["data"] == {"reportId": id_, "userId": ANN, "cancelledBy": ANN}


def test_a_cancel_before_the_start(database: Database) -> None:
    """A run that never started ends the report too."""
    id_ = new_report(database)
    reports.request_generation(database, ANN, id_)
    reports.request_cancel(database, ANN, id_)
    work = Work(id_, str(row(database, id_).request_id), "run-1")
    reports.cancelled(database, work)
    assert row(database, id_).status == Status.CANCELLED
    reports.started(database, work)  # a word that was late
    assert row(database, id_).status == Status.CANCELLED


def test_somebody_elses_report(database: Database) -> None:
    """It isn't there, whatever is asked; nothing changes."""
    id_ = new_report(database)
    begun(database, id_)
    actions: list[Callable[[Database, str, str], object]] = [
        reports.find,
        reports.request_cancel,
        reports.request_generation,
    ]
    for action in actions:
        for who, what in (("bob", id_), (ANN, "unknown")):
            with pytest.raises(ReportNotFoundError, match=r"^Report not found$"):
                action(database, who, what)
    assert row(database, id_).status == Status.GENERATING
    assert len(events(database)) == 1
    assert reports.of_user(database, "bob") == []


def in_status(database: Database, status: Status) -> str:
    """A report with a status."""
    id_ = new_report(database)
    if status == Status.IDLE:
        return id_
    work = begun(database, id_)
    if status in {Status.CANCELLING, Status.CANCELLED}:
        reports.request_cancel(database, ANN, id_)
    if status == Status.CANCELLED:
        reports.cancelled(database, work)
    if status == Status.GENERATED:
        reports.completed(database, work)
    if status == Status.FAILED:
        reports.failed(database, work, "no")
    assert row(database, id_).status == status
    return id_


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (Status.IDLE, NotGeneratingError),
        (Status.GENERATING, Status.CANCELLING),
        (Status.CANCELLING, Status.CANCELLING),
        (Status.GENERATED, NotGeneratingError),
        (Status.CANCELLED, NotGeneratingError),
        (Status.FAILED, NotGeneratingError),
    ],
)
def test_cancel_from_each_status(
    database: Database, status: Status, after: Status | type[ReportError]
) -> None:
    """Only what is being generated is cancelled, and only once; the rest stays as it is."""
    id_ = in_status(database, status)
    before = len(events(database))
    if isinstance(after, Status):
        assert reports.request_cancel(database, ANN, id_) == after
    else:
        with pytest.raises(after, match=r"^Report is not currently generating$"):
            reports.request_cancel(database, ANN, id_)
        after = status
    assert row(database, id_).status == after
    assert len(events(database)) - before == (status == Status.GENERATING)


@pytest.mark.parametrize("status", Status)
def test_generate_from_each_status(database: Database, status: Status) -> None:
    """What is at rest begins anew with nothing of the last time; what is under way goes on."""
    id_ = in_status(database, status)
    before = row(database, id_)
    count = len(events(database))
    if status == Status.CANCELLING:
        with pytest.raises(StillCancellingError):
            reports.request_generation(database, ANN, id_)
    else:
        assert reports.request_generation(database, ANN, id_) == Status.GENERATING
    after = row(database, id_)
    if status in {Status.GENERATING, Status.CANCELLING}:
        assert (after.status, after.request_id) == (before.status, before.request_id)
        assert len(events(database)) == count
        return
    assert after.request_id not in {None, before.request_id}
    assert events(database)[-1]["id"] == after.request_id
    times = ("started_at", "completed_at", "cancel_requested_at", "cancelled_at", "failed_at")
    assert [getattr(after, name) for name in (*times, "run_id", "error", "stage")] == [None] * 8


def test_a_cancel_that_counts(database: Database) -> None:
    """A run that finishes after the cancel was asked for waits for it; in the end it has won."""
    id_ = new_report(database)
    work = begun(database, id_)
    reports.request_cancel(database, ANN, id_)
    assert not reports.completed(database, work)
    assert row(database, id_).status == Status.CANCELLING
    assert reports.completed(database, work, despite_cancel=True)
    found = row(database, id_)
    assert found.status == Status.GENERATED
    assert found.cancel_requested_at is not None
    reports.cancelled(database, work)
    assert row(database, id_).status == Status.GENERATED
    assert reports.is_generated(database, work)


def test_an_attempt_that_died_before_it_said_so(database: Database) -> None:
    """Told twice, a report is generated once."""
    id_ = new_report(database)
    work = begun(database, id_)
    assert reports.completed(database, work)
    at = row(database, id_).completed_at
    assert reports.completed(database, work)
    assert row(database, id_).completed_at == at


def test_words_about_an_earlier_run(database: Database) -> None:
    """They change nothing: neither those of an earlier request, nor of a replayed run."""
    id_ = new_report(database)
    earlier = begun(database, id_)
    reports.cancelled(database, earlier, "an operator")
    assert row(database, id_).cancelled_by == "an operator"
    replay = Work(id_, earlier.request_id, "run-2")
    reports.started(database, replay)
    assert (row(database, id_).status, row(database, id_).run_id) == ("generating", "run-2")
    reports.request_cancel(database, ANN, id_)
    reports.cancelled(database, replay)
    newest = begun(database, id_, "run-3")
    for old in (earlier, replay):
        reports.started(database, old)
        reports.progressed(database, old, "render", 100)
        reports.completed(database, old, despite_cancel=True)
        reports.failed(database, old, "no")
        reports.cancelled(database, old)
        assert not reports.is_generated(database, old)
    found = row(database, id_)
    assert (found.status, found.run_id, found.progress) == (Status.GENERATING, "run-3", 0)
    assert reports.completed(database, newest)


def test_a_failure(database: Database) -> None:
    """It is kept with its reason, and generating again forgets it."""
    id_ = new_report(database)
    work = begun(database, id_)
    reports.failed(database, work, "There are no figures for 2031")
    found = row(database, id_)
    assert (found.status, found.error) == (Status.FAILED, "There are no figures for 2031")
    assert found.failed_at is not None


@pytest.mark.parametrize("action", [reports.request_cancel, reports.request_generation])
def test_many_clicks_at_once(
    database: Database, action: Callable[[Database, str, str], Status]
) -> None:
    """However many tabs ask at the same moment, there is one event."""
    id_ = new_report(database)
    if action is reports.request_cancel:
        begun(database, id_)
    before = len(events(database))
    together = threading.Barrier(8)

    def click() -> Status:
        together.wait()
        return action(database, ANN, id_)

    with ThreadPoolExecutor(8) as clicks:
        told = [one.result() for one in [clicks.submit(click) for _ in range(8)]]
    assert len(set(told)) == 1
    assert len(events(database)) == before + 1


def test_cancel_and_completion_at_once(database: Database) -> None:
    """Exactly one of the two counts, and the other one is told so."""
    outcomes = set()
    for _ in range(10):
        id_ = new_report(database)
        work = begun(database, id_)
        together = threading.Barrier(2)

        def cancel(id_: str = id_, together: threading.Barrier = together) -> bool:
            together.wait()
            try:
                reports.request_cancel(database, ANN, id_)
            except NotGeneratingError:
                return False
            return True

        with ThreadPoolExecutor(1) as other:
            told = other.submit(cancel)
            together.wait()
            completed = reports.completed(database, work)
            assert told.result() is not completed
        outcomes.add(row(database, id_).status)
    assert outcomes <= {Status.GENERATED, Status.CANCELLING}


def test_nothing_is_sent_of_what_was_rolled_back(engine: Engine, database: Database) -> None:
    """A change and its event are written together or not at all."""
    id_ = new_report(database)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox RENAME TO hidden"))
    with pytest.raises(DatabaseError):
        reports.request_generation(database, ANN, id_)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO outbox"))
    assert row(database, id_).status == Status.IDLE
    assert events(database) == []


def test_the_database_refuses_other_statuses(engine: Engine, database: Database) -> None:
    """Whoever writes it, a status is one of six."""
    new_report(database)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE reports SET status = 'done'"))


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    """The same tables, columns and indexes, and the figures; taken again, they do nothing."""
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        assert connection.scalar(select(func.count()).select_from(Sale)) == 3 * 12 * 4


def test_figures(database: Database) -> None:
    """Those of the report's year, or an error that names it."""
    assert len(reports.sales(database, new_report(database))) == 48
    other = reports.create(database, ANN, "Later", 2031)
    with pytest.raises(LookupError, match="2031"):
        reports.sales(database, other)
