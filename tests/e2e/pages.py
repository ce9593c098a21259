"""What people do with the report app's pages."""

from playwright.sync_api import Locator, Page, expect


def sign_in(page: Page, name: str) -> None:
    """Sign in, from wherever one is led."""
    page.goto("/")
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your reports")).to_be_visible()


def new_report(page: Page, title: str, year: int = 2025) -> Locator:
    """Make a report from the list; its card."""
    page.goto("/reports")
    page.get_by_label("Title").fill(title)
    page.get_by_label("Year").fill(str(year))
    page.get_by_role("button", name="New report").click()
    found = card(page, title)
    expect(found).to_be_visible()
    return found


def card(page: Page, title: str) -> Locator:
    """A report's card."""
    return page.get_by_role("article", name=title, exact=True)


def generate(page: Page, title: str) -> Locator:
    """Make a report and have it generated; its card, on its own page."""
    found = ask_for(page, title)
    shows(found, "Generating")
    return found


def ask_for(page: Page, title: str, year: int = 2025) -> Locator:
    """Make a report and ask for it, whatever becomes of it; its card, on its own page."""
    new_report(page, title, year).get_by_role("button", name="Generate report").click()
    page.wait_for_url("**/reports/*")
    return card(page, title)


def shows(found: Locator, label: str) -> None:
    """Wait until a card shows a status."""
    expect(found.locator(".badge")).to_have_text(label)


def dialog(page: Page) -> Locator:
    """The question that is open."""
    return page.get_by_role("dialog", name="Cancel report generation?")
