"""The pages: forms and links that work by themselves, and better with the script."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.sse import EventSourceResponse
from fastapi.templating import Jinja2Templates

from examples.report_app import files, live, reports
from examples.report_app.database import Database
from examples.report_app.models import Report, Status
from examples.report_app.outbox import Relay
from examples.report_app.settings import Settings
from examples.report_app.sign_in import (
    COOKIE,
    LIFETIME,
    LONGEST_NAME,
    CurrentUser,
    User,
    require_own_form,
    require_own_page,
    sign_in,
    sign_out,
)

LONGEST_TITLE: Final = 120
_STAGES: Final = {
    "load": "Loading the figures",
    "settle": "Waiting for the last bookings",
    "compute": "Computing",
    "render": "Writing the file",
}

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(Path(__file__).with_name("templates"))
OWN_FORM: Final = [Depends(require_own_page), Depends(require_own_form)]


def time_of_day(instant: datetime) -> str:
    """A time as the pages show it."""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


templates.env.filters["time"] = time_of_day
templates.env.globals["stages"] = _STAGES


@router.get("/")
def home() -> Response:
    """The reports."""
    return RedirectResponse("/reports")


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """A form for a name."""
    return templates.TemplateResponse(request, "sign_in.html", {"longest": LONGEST_NAME})


@router.post("/sign-in", dependencies=[Depends(require_own_page)])
def sign_in_form(request: Request, name: Annotated[str, Form()] = "") -> Response:
    """Begin a session."""
    chosen = " ".join(name.split())
    if not 0 < len(chosen) <= LONGEST_NAME or not chosen.isprintable():
        error = f"A name has 1 to {LONGEST_NAME} characters"
        values = {"error": error, "longest": LONGEST_NAME}
        return templates.TemplateResponse(
            request, "sign_in.html", values, status_code=HTTPStatus.UNPROCESSABLE_ENTITY
        )
    answer = _to("/reports")
    answer.set_cookie(
        COOKIE,
        sign_in(_database(request), chosen),
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out", dependencies=OWN_FORM)
def sign_out_form(request: Request) -> Response:
    """End the session."""
    sign_out(_database(request), request.cookies[COOKIE])
    answer = _to("/sign-in")
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


@router.get("/reports")
def list_page(request: Request, user: CurrentUser) -> Response:
    """A user's reports."""
    return _list(request, user)


@router.post("/reports", dependencies=OWN_FORM)
def create_form(
    request: Request,
    user: CurrentUser,
    title: Annotated[str, Form()] = "",
    year: Annotated[str, Form()] = "",
) -> Response:
    """Make a report."""
    chosen = " ".join(title.split())
    error = None
    if not 0 < len(chosen) <= LONGEST_TITLE:
        error = f"A title has 1 to {LONGEST_TITLE} characters"
    elif len(year) != len("2000") or not year.isascii() or not year.isdigit():
        error = "A year has four digits"
    if error is not None:
        form = {"title": title, "year": year, "form_error": error}
        return _list(request, user, status=HTTPStatus.UNPROCESSABLE_ENTITY, **form)
    reports.create(_database(request), user.id, chosen, int(year))
    return _to("/reports")


@router.get("/reports/live")
def list_stream(request: Request, user: CurrentUser) -> EventSourceResponse:
    """The cards of a user's reports, each time that one changes."""
    return _stream(request, user, lambda: reports.of_user(_database(request), user.id))


@router.get("/reports/{report_id}")
def report_page(request: Request, user: CurrentUser, report_id: str) -> Response:
    """One report."""
    return _one(request, user, reports.find(_database(request), user.id, report_id))


@router.get("/reports/{report_id}/live")
def report_stream(request: Request, user: CurrentUser, report_id: str) -> EventSourceResponse:
    """The card of one report, each time that it changes."""
    database = _database(request)
    reports.find(database, user.id, report_id)
    return _stream(request, user, lambda: [reports.find(database, user.id, report_id)])


@router.post("/reports/{report_id}/generate", dependencies=OWN_FORM)
def generate_form(request: Request, user: CurrentUser, report_id: str) -> Response:
    """Have a report generated."""
    return _ask(request, user, report_id, reports.request_generation)


@router.get("/reports/{report_id}/cancel")
def cancel_page(request: Request, user: CurrentUser, report_id: str) -> Response:
    """The dialog's question, for browsers that don't run the script."""
    report = reports.find(_database(request), user.id, report_id)
    if report.status != Status.GENERATING:
        return _to(f"/reports/{report_id}")
    return templates.TemplateResponse(request, "cancel.html", {"user": user, "report": report})


@router.post("/reports/{report_id}/cancel", dependencies=OWN_FORM)
def cancel_form(request: Request, user: CurrentUser, report_id: str) -> Response:
    """Have a report's generation cancelled."""
    return _ask(request, user, report_id, reports.request_cancel)


@router.get("/reports/{report_id}/file")
def download(request: Request, user: CurrentUser, report_id: str) -> Response:
    """A generated report's file.

    Raises:
        ReportNotFoundError: there is none.
    """
    report = reports.find(_database(request), user.id, report_id)
    settings: Settings = request.app.state.settings
    path = files.finished(settings, report_id, report.run_id or "")
    if report.status != Status.GENERATED or not path.is_file():
        raise reports.ReportNotFoundError
    return FileResponse(path, media_type="text/csv", filename=f"sales-{report.year}.csv")


def _ask(
    request: Request,
    user: User,
    report_id: str,
    action: Callable[[Database, str, str], Status],
) -> Response:
    """Do what a button says; the answer is a page, or JSON for the script."""
    scripted = "application/json" in request.headers.get("accept", "")
    try:
        status = action(_database(request), user.id, report_id)
    except reports.ReportError as error:
        if scripted:
            return JSONResponse({"error": str(error)}, error.status)
        report = reports.find(_database(request), user.id, report_id)
        return _one(request, user, report, error=error)
    relay: Relay = request.app.state.relay
    relay.wake()
    if scripted:
        return JSONResponse({"status": status}, HTTPStatus.ACCEPTED)
    return _to(f"/reports/{report_id}")


def _list(
    request: Request, user: User, *, status: HTTPStatus = HTTPStatus.OK, **form: str
) -> Response:
    found = reports.of_user(_database(request), user.id)
    values = {"user": user, "reports": found, "longest": LONGEST_TITLE, "moving": _moving(found)}
    return templates.TemplateResponse(request, "list.html", values | form, status_code=status)


def _one(
    request: Request, user: User, report: Report, *, error: reports.ReportError | None = None
) -> Response:
    values = {"user": user, "reports": [report], "error": error, "moving": _moving([report])}
    code = HTTPStatus.OK if error is None else error.status
    return templates.TemplateResponse(request, "report.html", values, status_code=code)


def _stream(
    request: Request, user: User, find: Callable[[], Sequence[Report]]
) -> EventSourceResponse:
    def render() -> str:
        values: dict[str, Any] = {"user": user, "reports": find()}
        return templates.get_template("cards.html").render(values)

    return EventSourceResponse(
        live.changes(render, request.app.state.is_stopping),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _moving(found: Sequence[Report]) -> bool:
    return any(report.status in {Status.GENERATING, Status.CANCELLING} for report in found)


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
