"""The report app in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from examples.report_app.models import Status
from tests.e2e.pages import ask_for, card, dialog, generate, new_report, shows, sign_in
from tests.support.report_app import ReportApp

OpenPage = Callable[..., Page]
_TITLES = re.compile("^(Title|Year)$")


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """Somebody whom no other test knows."""
    return str(request.node.name)[:40]


@pytest.fixture
def page(open_page: OpenPage, app: ReportApp, user: str) -> Page:
    """A page of somebody who is signed in."""
    found = open_page(app.url)
    sign_in(found, user)
    return found


def _generating(page: Page, app: ReportApp) -> Locator:
    """The card of a report; its run gets on from when the browser shows that it is generated."""
    with app.frozen_worker():
        return generate(page, "Sales")


def test_request_generate_download(page: Page, app: ReportApp, user: str) -> None:
    """A report is generated while one looks on, and its file is there."""
    report = _generating(page, app)
    app.is_at(user, "Sales", "compute")
    with app.frozen_worker():
        expect(report).to_contain_text("Computing…")
    shows(report, "Generated")
    expect(page.get_by_role("status")).to_have_text("Sales: Generated")
    with page.expect_download() as download:
        report.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "sales-2025.csv"
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert len(lines) == 48 + 4
    assert app.report(user, "Sales").status == Status.GENERATED


def test_cancel(page: Page, app: ReportApp, user: str) -> None:
    """The dialog asks; cancelling is shown apart from cancelled, which comes when it is true."""
    report = _generating(page, app)
    app.is_at(user, "Sales", "settle")
    with app.frozen_worker():
        report.get_by_role("button", name="Cancel report").click()
        expect(dialog(page)).to_contain_text("“Sales” will stop at its next step")
        expect(dialog(page).get_by_role("button", name="Keep generating")).to_be_focused()
        dialog(page).get_by_role("button", name="Keep generating").click()
        expect(dialog(page)).to_be_hidden()
        assert app.report(user, "Sales").status == Status.GENERATING
        report.get_by_role("button", name="Cancel report").click()
        dialog(page).get_by_role("button", name="Cancel report").click()
        expect(dialog(page)).to_be_hidden()
        shows(report, "Cancelling")
        expect(report.get_by_role("button", name="Cancelling…")).to_be_disabled()
        expect(page.get_by_role("status")).to_have_text("Sales: Cancelling")
        page.reload()  # refreshed in the middle
        shows(report, "Cancelling")
        expect(report.get_by_role("button")).to_have_count(1)
        expect(report.get_by_role("button", name="Cancelling…")).to_be_disabled()
    shows(report, "Cancelled")
    expect(report).to_contain_text(f"Cancelled by {user}")
    found = app.report(user, "Sales")
    assert app.run_of(found)["status"] == "cancelled"
    assert app.left_files(found) == []
    report.get_by_role("button", name="Generate again").click()
    shows(report, "Generated")


def test_cancel_by_keyboard(page: Page, app: ReportApp) -> None:
    """Enter asks, Escape keeps, Tab and Enter cancel; the focus comes back where it was."""
    with app.frozen_worker():
        report = generate(page, "Sales")
        button = report.get_by_role("button", name="Cancel report")
        button.focus()
        page.keyboard.press("Enter")
        expect(dialog(page)).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog(page)).to_be_hidden()
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(dialog(page).get_by_role("button", name="Cancel report")).to_be_focused()
        page.keyboard.press("Enter")
        shows(report, "Cancelling")
    shows(report, "Cancelled")


def test_cancel_of_a_finished_report(page: Page, app: ReportApp) -> None:
    """The question was open for too long: the dialog says so, and the report stays."""
    with app.frozen_worker():
        report = generate(page, "Sales")
        report.get_by_role("button", name="Cancel report").click()
        expect(dialog(page)).to_be_visible()
    shows(report, "Generated")
    dialog(page).get_by_role("button", name="Cancel report").click()
    alert = dialog(page).get_by_role("alert")
    expect(alert).to_have_text("Report is not currently generating")
    dialog(page).get_by_role("button", name="Keep generating").click()
    shows(report, "Generated")


def test_two_reports_at_once(page: Page, app: ReportApp, user: str) -> None:
    """Only the one that was cancelled is."""
    with app.frozen_worker():
        for title in ("First", "Second"):
            generate(page, title)
        page.goto("/reports")
        card(page, "First").get_by_role("button", name="Cancel report").click()
        expect(dialog(page)).to_contain_text("“First”")
        dialog(page).get_by_role("button", name="Cancel report").click()
        shows(card(page, "First"), "Cancelling")
    shows(card(page, "First"), "Cancelled")
    shows(card(page, "Second"), "Generated")
    assert app.run_of(app.report(user, "First"))["status"] == "cancelled"


def test_two_tabs(page: Page, app: ReportApp, user: str) -> None:
    """Both show the same; what the second one asks for again changes nothing."""
    with app.frozen_worker():
        generate(page, "Sales")
        other = page.context.new_page()
        other.goto(page.url)
        for tab in (page, other):
            card(tab, "Sales").get_by_role("button", name="Cancel report").click()
        for tab in (page, other):
            dialog(tab).get_by_role("button", name="Cancel report").click()
            expect(dialog(tab)).to_be_hidden()
    for tab in (page, other):
        shows(card(tab, "Sales"), "Cancelled")


def test_double_clicks(page: Page, app: ReportApp, user: str) -> None:
    """They are as good as one click."""
    with app.frozen_worker():
        new_report(page, "Sales").get_by_role("button", name="Generate report").dblclick()
        report = card(page, "Sales")
        shows(report, "Generating")
        request = app.report(user, "Sales").request_id
        report.get_by_role("button", name="Cancel report").click()
        dialog(page).get_by_role("button", name="Cancel report").dblclick()
        shows(report, "Cancelling")
    shows(report, "Cancelled")
    assert app.report(user, "Sales").request_id == request


def test_a_failed_report(page: Page) -> None:
    """It says why."""
    report = ask_for(page, "Later", year=2031)
    shows(report, "Failed")
    expect(report).to_contain_text("There are no figures for 2031")


def test_somebody_elses_report(page: Page, open_page: OpenPage, app: ReportApp) -> None:
    """It can't be seen, and so not be cancelled."""
    ask_for(page, "Sales")
    other = open_page(app.url)
    sign_in(other, "somebody else")
    answer = other.goto(page.url)
    assert answer is not None
    assert answer.status == 404
    expect(other.get_by_role("heading", name="Report not found")).to_be_visible()


def test_without_scripts(open_page: OpenPage, app: ReportApp, user: str) -> None:
    """The page renews itself, and a page asks instead of the dialog."""
    page = open_page(app.url, scripts=False)
    sign_in(page, user)
    report = _generating(page, app)
    app.is_at(user, "Sales", "settle")
    with app.frozen_worker():
        report.get_by_role("button", name="Cancel report").click()
        expect(page.get_by_role("heading", name="Cancel report generation?")).to_be_visible()
        page.get_by_role("link", name="Keep generating").click()
        shows(report, "Generating")
        report.get_by_role("button", name="Cancel report").click()
        page.get_by_role("button", name="Cancel report").click()
        shows(report, "Cancelling")
        expect(report.get_by_role("button", name="Cancelling…")).to_be_disabled()
    shows(report, "Cancelled")
    report.get_by_role("button", name="Generate again").click()
    shows(report, "Generated")


def test_every_field_has_a_name(page: Page, open_page: OpenPage, app: ReportApp) -> None:
    """People who don't see the page are told what each field and button is."""
    new_report(page, "Sales")
    other = open_page(app.url)
    other.goto("/sign-in")
    for found, count in ((page, 2), (other, 1)):
        fields = found.get_by_role("textbox")
        expect(fields).to_have_count(count)
        for field in fields.all():
            expect(field).to_have_accessible_name("Your name" if found is other else _TITLES)
        for button in found.get_by_role("button").all():
            expect(button).not_to_have_accessible_name("")
