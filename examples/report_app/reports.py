"""Every change of a report. A change is one conditional UPDATE, so a double click changes nothing.

What users do comes first, then what workers tell. A worker names the request and the run that it
works on: what it says about an earlier one is ignored.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final

from sqlalchemy import ColumnElement, CursorResult, or_, select, update
from sqlalchemy.orm import Session

from examples.report_app import outbox
from examples.report_app.database import Database
from examples.report_app.models import Report, Sale, Status

REQUESTED: Final = "report/generation.requested"
CANCELLED: Final = "report/generation.cancelled"

_AT_REST: Final = (Status.IDLE, Status.GENERATED, Status.CANCELLED, Status.FAILED)
_UNDER_WAY: Final = (Status.GENERATING, Status.CANCELLING)
# What a new generation starts with: nothing of the last one.
_FRESH: Final = dict.fromkeys(
    (
        "stage",
        "run_id",
        "started_at",
        "completed_at",
        "cancel_requested_at",
        "cancelled_at",
        "cancelled_by",
        "failed_at",
        "error",
    )
)


@dataclass(frozen=True)
class Work:
    """What a run works on."""

    report_id: str
    request_id: str
    run_id: str

    def is_of(self, report: Report) -> bool:
        """Whether a report's newest generation is this one."""
        return (report.request_id, report.run_id) == (self.request_id, self.run_id)


class ReportError(Exception):
    """Why a user can't have what they asked for; the text is for them."""

    status: ClassVar = HTTPStatus.CONFLICT


class ReportNotFoundError(ReportError):
    """There is no such report, or it is somebody else's."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("Report not found")


class NotGeneratingError(ReportError):
    """There is nothing to cancel."""

    def __init__(self) -> None:
        super().__init__("Report is not currently generating")


class StillCancellingError(ReportError):
    """The last generation hasn't stopped yet."""

    def __init__(self) -> None:
        super().__init__("Report is still being cancelled")


def create(database: Database, user_id: str, title: str, year: int) -> str:
    """Make a report; its id."""
    report = Report(
        id=uuid.uuid4().hex,
        user_id=user_id,
        title=title,
        year=year,
        status=Status.IDLE,
        progress=0,
        created_at=_now(),
    )
    with database.begin() as session:
        session.add(report)
        return report.id


def of_user(database: Database, user_id: str) -> Sequence[Report]:
    """A user's reports, the newest first."""
    newest = select(Report).where(Report.user_id == user_id)
    with database() as session:
        return session.scalars(newest.order_by(Report.created_at.desc(), Report.id)).all()


def find(database: Database, user_id: str, report_id: str) -> Report:
    """One report of a user.

    Raises:
        ReportNotFoundError: there is none, or it is somebody else's.
    """
    with database() as session:
        return _owned(session, user_id, report_id)


def request_generation(database: Database, user_id: str, report_id: str) -> Status:
    """Ask for a report to be generated; one that is being generated goes on.

    Raises:
        ReportNotFoundError: there is none, or it is somebody else's.
        StillCancellingError: its last generation hasn't stopped yet.
    """
    request_id = uuid.uuid4().hex
    with database.begin() as session:
        changed = _change(
            session,
            (Report.id == report_id, Report.user_id == user_id),
            _AT_REST,
            {
                **_FRESH,
                "status": Status.GENERATING,
                "progress": 0,
                "request_id": request_id,
                "requested_at": _now(),
            },
        )
        report = _owned(session, user_id, report_id)
        if changed:
            data = {"reportId": report_id, "userId": user_id}
            outbox.add(session, outbox.EVENTS, REQUESTED, request_id, data)
        elif report.status == Status.CANCELLING:
            raise StillCancellingError
        return Status(report.status)


def request_cancel(database: Database, user_id: str, report_id: str) -> Status:
    """Ask for a report's generation to be cancelled; asked twice, it is cancelled once.

    Raises:
        ReportNotFoundError: there is none, or it is somebody else's.
        NotGeneratingError: there is nothing to cancel.
    """
    with database.begin() as session:
        changed = _change(
            session,
            (Report.id == report_id, Report.user_id == user_id),
            (Status.GENERATING,),
            {
                "status": Status.CANCELLING,
                "cancel_requested_at": _now(),
                "cancelled_by": user_id,
            },
        )
        report = _owned(session, user_id, report_id)
        if changed:
            data = {"reportId": report_id, "userId": report.user_id, "cancelledBy": user_id}
            outbox.add(session, outbox.CANCELS, CANCELLED, uuid.uuid4().hex, data)
        elif report.status != Status.CANCELLING:
            raise NotGeneratingError
        return Status(report.status)


def started(database: Database, work: Work) -> None:
    """A run has begun to work on a request.

    One that was cancelled or has failed can be replayed: another run for the same request.
    """
    new = {"run_id": work.run_id, "started_at": _now()}
    again = {**_FRESH, **new, "status": Status.GENERATING, "progress": 0}
    with database.begin() as session:
        if not _report(session, work, _UNDER_WAY, new, Report.started_at.is_(None)):
            replayed = (Report.id == work.report_id, Report.request_id == work.request_id)
            other = Report.run_id != work.run_id
            _change(session, (*replayed, other), (Status.CANCELLED, Status.FAILED), again)


def progressed(database: Database, work: Work, stage: str, percent: int = 0) -> None:
    """What a run is doing, and how far it is."""
    with database.begin() as session:
        _report(session, work, _UNDER_WAY, {"stage": stage, "progress": percent})


def completed(database: Database, work: Work, *, despite_cancel: bool = False) -> bool:
    """A run has finished its work; False if a cancel has been asked for before, and counts."""
    counted = _UNDER_WAY if despite_cancel else (Status.GENERATING,)
    new = {"status": Status.GENERATED, "completed_at": _now(), "progress": 100, "stage": None}
    with database.begin() as session:
        if _report(session, work, counted, new):
            return True
        report = session.get(Report, work.report_id)
        # False only while it waits for this run to stop.
        return report is None or not work.is_of(report) or report.status != Status.CANCELLING


def failed(database: Database, work: Work, error: str) -> None:
    """A run has failed for good."""
    new = {"status": Status.FAILED, "failed_at": _now(), "error": error, "stage": None}
    with database.begin() as session:
        _report(session, work, _UNDER_WAY, new)


def cancelled(database: Database, work: Work, by: str | None = None) -> None:
    """A cancelled run has stopped; `by` tells who cancelled it, where that wasn't its user."""
    new = {
        "status": Status.CANCELLED,
        "cancelled_at": _now(),
        "stage": None,
        "run_id": work.run_id,
    }
    if by is not None:
        new["cancelled_by"] = by
    with database.begin() as session:
        _report(session, work, _UNDER_WAY, new)


def is_generated(database: Database, work: Work) -> bool:
    """Whether a run's file is what its report shows."""
    with database() as session:
        report = session.get(Report, work.report_id)
        return report is not None and work.is_of(report) and report.status == Status.GENERATED


def sales(database: Database, report_id: str) -> list[list[Any]]:
    """What a report is about: region, month and amount.

    Raises:
        LookupError: there are no figures for its year.
    """
    with database() as session:
        year = session.scalar(select(Report.year).where(Report.id == report_id))
        chosen = select(Sale).where(Sale.year == year).order_by(Sale.region, Sale.month)
        rows = [[sale.region, sale.month, sale.amount] for sale in session.scalars(chosen)]
    if not rows:
        raise LookupError(f"There are no figures for {year}")
    return rows


def _report(
    session: Session,
    work: Work,
    before: Collection[Status],
    new: dict[str, Any],
    *more: ColumnElement[bool],
) -> bool:
    mine = or_(Report.run_id.is_(None), Report.run_id == work.run_id)
    which = (Report.id == work.report_id, Report.request_id == work.request_id, mine, *more)
    return _change(session, which, before, new)


def _change(
    session: Session,
    which: tuple[ColumnElement[bool], ...],
    before: Collection[Status],
    new: dict[str, Any],
) -> bool:
    """Change a report that is where it is expected; comes first, for it locks the row."""
    statement = update(Report).where(*which, Report.status.in_(before)).values(**new)
    result = session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _owned(session: Session, user_id: str, report_id: str) -> Report:
    report = session.get(Report, report_id)
    if report is None or report.user_id != user_id:
        raise ReportNotFoundError
    return report


def _now() -> datetime:
    return datetime.now(UTC)
