"""How every page looks: to axe-core, in light and dark, on narrow screens, and to the keyboard."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.dashboard.barriers import open_details, too_wide, violations, without_outline
from tests.dashboard.scene import PAGES, Scene
from tests.dashboard.site import PATIENCE_S
from tests.dashboard.visits import is_live

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def signed_in(browser: Browser, scene: Scene) -> StorageState:
    """The session of somebody who has done something on every page."""
    context = browser.new_context(base_url=scene.site.url)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    scene.act(page)
    scene.commit(page)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(params=PAGES)
def page(
    request: pytest.FixtureRequest, open_page: OpenPage, scene: Scene, signed_in: StorageState
) -> Page:
    """Every page, with all that is folded open."""
    shown = PAGES[request.param]
    session = {"storage_state": signed_in} if shown.signed_in else {}
    page = open_page(scene.site.url, **session)
    answer = page.goto(scene.path(request.param))
    assert answer is not None
    assert answer.status == shown.status
    shown.act(page)
    open_details(page)
    return page


def test_no_barriers(page: Page) -> None:
    """axe-core finds none, in light and dark; focus is seen; nothing scrolls sideways."""
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    assert without_outline(page) == []
    # A phone, and a screen of 1,280 px at 200 %, where as much fits as on 640 px.
    for width in (360, 640):
        page.set_viewport_size({"width": width, "height": 800})
        assert too_wide(page) == []


def test_less_motion(open_page: OpenPage, scene: Scene, signed_in: StorageState) -> None:
    """Nothing moves for who asks for that."""
    for motion, moves in (("no-preference", True), ("reduce", False)):
        page = open_page(scene.site.url, storage_state=signed_in, reduced_motion=motion)
        page.goto("/")
        is_live(page)
        style = "(one) => getComputedStyle(one, '::before').animationName"
        assert (page.locator("[data-live-state]").evaluate(style) != "none") is moves


def test_copy(open_page: OpenPage, scene: Scene, signed_in: StorageState) -> None:
    """An id is copied with one click, and so is the call behind a page."""
    permissions = ["clipboard-read", "clipboard-write"]
    page = open_page(scene.site.url, storage_state=signed_in, permissions=permissions)
    page.clock.install(time=0)
    page.goto(scene.path("run"))
    page.clock.pause_at(3_600)  # a button says “Copied” only for a moment
    page.get_by_role("button", name=f"Copy {scene.ids['waiting']}").first.click()
    expect(page.locator("#said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == scene.ids["waiting"]
    page.get_by_text("The same with curl").click()
    page.locator(".command .copy").first.click()
    copy = page.locator(".command .copy").first
    expect(copy).to_have_text("Copied")
    page.clock.run_for(1_500)
    expect(copy).to_have_text("Copy")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl ")
    assert f"/v1/runs/{scene.ids['waiting']}" in copied
