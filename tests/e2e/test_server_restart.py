"""The web app goes away and comes back, while a page is open."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from examples.report_app.models import Status
from tests.e2e.pages import card, dialog, generate, shows, sign_in
from tests.support.report_app import ReportApp

OpenPage = Callable[..., Page]


def test_the_page_goes_on_by_itself(kafka: str, tmp_path: Path, open_page: OpenPage) -> None:
    """Killed while generating and while cancelling: the open page shows what becomes of it."""
    with ReportApp(kafka, tmp_path, SLEEP="8s") as app:
        page = open_page(app.url)
        sign_in(page, "ann")
        with app.frozen_worker():
            for title in ("Cancelled", "Kept"):
                generate(page, title)
            page.goto("/reports")
        app.is_at("ann", "Cancelled", "settle")
        with app.frozen_worker():
            app.web.kill()
            app.web.start()
            shows(card(page, "Cancelled"), "Generating")
            card(page, "Cancelled").get_by_role("button", name="Cancel report").click()
            dialog(page).get_by_role("button", name="Cancel report").click()
            shows(card(page, "Cancelled"), "Cancelling")
            app.web.kill()
            assert app.report("ann", "Cancelled").status == Status.CANCELLING
            app.web.start()
            shows(card(page, "Cancelled"), "Cancelling")
        shows(card(page, "Cancelled"), "Cancelled")
        shows(card(page, "Kept"), "Generated")
        report = app.report("ann", "Cancelled")
        assert app.run_of(report)["status"] == "cancelled"
        assert app.left_files(report) == []
