"""The report app with every process behind it, and browsers in which people use it."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium
from tests.support.report_app import PATIENCE_S, ReportApp

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs the broker and the browser, and takes its time."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            for mark in (pytest.mark.e2e, pytest.mark.broker, pytest.mark.slow):
                item.add_marker(mark)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def app(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportApp]:
    """One for all tests; each has users of its own."""
    folder = tmp_path_factory.mktemp("report-app")
    # Long enough for whoever wants to freeze the worker meanwhile on a busy machine.
    with ReportApp(kafka, folder, SLEEP="3s", COMPUTE_SECONDS="4") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a file."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with chromium() as found:
        yield found


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each in a profile of its own; fails if a script of one did."""
    failures: list[str] = []
    contexts = []

    def open_one(url: str, *, scripts: bool = True) -> Page:
        context = browser.new_context(base_url=url, java_script_enabled=scripts)
        context.set_default_timeout(PATIENCE_S * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert failures == []
