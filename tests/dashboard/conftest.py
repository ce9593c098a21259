"""The dashboard with every process behind it, and browsers in which people use it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.dashboard.scene import Scene
from tests.dashboard.site import PATIENCE_S, Site
from tests.support.browser import chromium

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs the broker and the browser, and takes its time."""
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            for mark in (pytest.mark.e2e, pytest.mark.broker, pytest.mark.slow):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def site(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests; each has functions and people of its own."""
    with Site(kafka, tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture(scope="session")
def scene(site: Site) -> Scene:
    """Something on every page."""
    return Scene(site)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a file."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with chromium() as found:
        yield found


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each in a profile of its own; fails if a script of one did, or was refused."""
    failures: list[str] = []
    contexts = []

    def open_one(url: str, *, scripts: bool = True, **options: Any) -> Page:
        context = browser.new_context(base_url=url, java_script_enabled=scripts, **options)
        context.set_default_timeout(PATIENCE_S * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", note)
        return page

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            failures.append(message.text)

    yield open_one
    for context in contexts:
        context.close()
    assert failures == []
