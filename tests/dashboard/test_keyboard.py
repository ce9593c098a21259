"""Cancel many without a mouse."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from streams.api.call.roles import Role
from tests.dashboard.site import Site
from tests.dashboard.visits import figure, shows

OpenPage = Callable[..., Page]
_FAR = 100
# Whether what has the focus is seen to have it: an outline, within what is shown. A part of a
# field, as the calendar of a time, is marked by the browser.
_IS_SEEN = """
() => {
  const one = document.activeElement;
  if (!one.matches(":focus")) return true;
  const { top, bottom } = one.getBoundingClientRect();
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
    && bottom > 0 && top < innerHeight;
}
"""


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until an element has the focus; it is seen on each element before, too."""
    expect(target).to_be_visible()
    for _ in range(_FAR):
        page.keyboard.press("Tab")
        if target.evaluate("(one) => one === document.activeElement"):
            break
        body = page.evaluate("document.activeElement === document.body")
        assert body or page.evaluate(_IS_SEEN), page.evaluate("document.activeElement.outerHTML")
    expect(target).to_be_focused()
    assert page.evaluate(_IS_SEEN)


def test_cancel_many(site: Site, open_page: OpenPage) -> None:
    """From the sign-in to the end by Tab, arrows, Space and Enter; the focus is always seen."""
    work = site.work("keys")
    work.request(9)
    page = open_page(site.url)
    press = page.keyboard.press
    page.goto("/")
    tab_to(page, page.get_by_label("API key"))
    page.keyboard.type(site.key("keys", Role.OPERATOR)[1])
    press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.goto("/")
    tab_to(page, page.get_by_role("link", name="Functions", exact=True))
    press("Enter")
    tab_to(page, page.get_by_role("link", name=work.slug))
    press("Enter")
    tab_to(page, page.get_by_role("link", name="Cancel many…"))
    press("Enter")

    tab_to(page, page.get_by_label("the last hour"))
    press("ArrowUp")
    expect(page.get_by_label("the last 15 minutes")).to_be_checked()
    tab_to(page, page.get_by_label("Only those for which"))
    page.keyboard.type("event.data.n > 3")
    tab_to(page, page.get_by_label("Reason (optional)"))
    page.keyboard.type("By keyboard")
    tab_to(page, page.get_by_role("button", name="Count", exact=True))
    press("Space")
    expect(page.get_by_role("heading", name="Counted", exact=True)).to_be_visible()
    expect(figure(page)).to_have_text("5")
    tab_to(page, page.get_by_role("button", name="Cancel 5 runs"))
    press("Enter")
    page.wait_for_url("**/cancellations/*")
    shows(page, "Done", 5)
    tab_to(page, page.get_by_role("button", name="Start 5 runs again"))
    press("Enter")
    page.wait_for_url("**/replays/*")
    shows(page, "Done", 5)
    work.reaches("Scheduled", 9)
    assert len(work.cancelled(5)) == 5


def test_the_name_is_typed(site: Site, open_page: OpenPage) -> None:
    """Over 1,000 runs the button waits for the function's name; a wrong one is refused."""
    work = site.work("thousand")
    work.request(1_001)
    page = open_page(site.url)
    press = page.keyboard.press
    page.goto("/")
    page.get_by_label("API key").fill(site.key("thousand", Role.OPERATOR)[1])
    press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.goto(f"/functions/{work.slug}/cancel")
    page.get_by_role("button", name="Count", exact=True).press("Enter")
    expect(figure(page)).to_have_text("1,001")
    button = page.get_by_role("button", name="Cancel 1,001 runs")
    expect(button).to_be_disabled()
    tab_to(page, page.locator("#confirm"))
    page.keyboard.type(work.slug[:-1])
    expect(button).to_be_disabled()
    page.keyboard.type(work.slug[-1])
    expect(button).to_be_enabled()
    press("Enter")
    page.wait_for_url("**/cancellations/*")
    shows(page, "Done", 1_001)
