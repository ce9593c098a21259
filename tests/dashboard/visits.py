"""What people do with the pages."""

from playwright.sync_api import Locator, Page, expect


def sign_in(page: Page, key: str) -> None:
    """Sign in with a key, from wherever one is led."""
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def follow_link(page: Page, link: str) -> None:
    """Sign in by a link that works once."""
    page.goto(link)
    page.get_by_role("button", name="Open the dashboard").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def count(page: Page, slug: str, expression: str = "", **fields: str) -> None:
    """Count what a cancellation of the last hour would cancel, and wait for the number."""
    page.goto(f"/functions/{slug}/cancel")
    page.get_by_label("the last hour").check()
    page.get_by_label("Only those for which").fill(expression)
    for label, text in fields.items():
        page.get_by_label(f"{label.capitalize()} (optional)").fill(text)
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.get_by_role("heading", name="Counted", exact=True)).to_be_visible()


def commit(page: Page, runs: int) -> None:
    """Cancel what was counted."""
    page.get_by_role("button", name=f"Cancel {runs:,} run").click()
    page.wait_for_url("**/cancellations/*")


def figure(page: Page) -> Locator:
    """The number that a page is about."""
    return page.locator(".count .figure")


def shows(page: Page, status: str, number: int) -> None:
    """Wait until a page shows a status and its number."""
    expect(page.locator("h2 .badge")).to_have_text(status)
    expect(figure(page)).to_have_text(f"{number:,}")


def start_again(page: Page, runs: int) -> None:
    """Start what was cancelled again."""
    page.get_by_role("button", name=f"Start {runs:,} run").click()


def is_live(page: Page) -> None:
    """Wait until a page is told of changes."""
    expect(page.locator("[data-live-state]")).to_have_text("Live")
