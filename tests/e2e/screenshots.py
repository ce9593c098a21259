"""Takes the pictures of `docs/report-app.md`: ``python -m tests.e2e.screenshots``."""

import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect

from streams.broker import LocalBroker
from tests.e2e.pages import card, dialog, generate, shows, sign_in
from tests.repo import tree
from tests.support.browser import chromium
from tests.support.report_app import PATIENCE_S, ReportApp

IMAGES: Final = tree.ROOT / "docs/images"
LARGEST_BYTES: Final = 150_000
_SIZE: Final = (860, 610)


def main() -> int:
    """Play a cancel, and take a picture of each of its moments."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with (
        tempfile.TemporaryDirectory(prefix="countermand-screenshots-") as folder,
        LocalBroker() as broker,
        ReportApp(broker.bootstrap_servers, Path(folder), COMPUTE_SECONDS="6") as app,
        chromium() as browser,
    ):
        width, height = _SIZE
        page = browser.new_page(
            base_url=app.url, viewport={"width": width, "height": height}, reduced_motion="reduce"
        )
        sign_in(page, "Ann")
        generate(page, "Sales by region")
        shows(card(page, "Sales by region"), "Generated")
        generate(page, "Forecast for the board")
        page.goto("/reports")
        report = card(page, "Forecast for the board")
        expect(report).to_contain_text("Computing…")
        _take(page, "report-generating")
        report.get_by_role("button", name="Cancel report").click()
        expect(dialog(page)).to_be_visible()
        _take(page, "report-dialog")
        dialog(page).get_by_role("button", name="Cancel report").click()
        shows(report, "Cancelled")
        _take(page, "report-cancelled")
    return 0


def _take(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    assert size < LARGEST_BYTES, f"{path} has {size} bytes"
    print(f"{path.relative_to(tree.ROOT)}: {size} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
