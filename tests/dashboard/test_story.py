"""The whole story: cancel a range of runs, watch it, start them again, see who did what."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from streams.api.call.roles import Role
from tests.dashboard.site import Site, Work, later
from tests.dashboard.visits import (
    commit,
    count,
    figure,
    follow_link,
    is_live,
    shows,
    sign_in,
    start_again,
)
from tests.support.broker import unique_name

OpenPage = Callable[..., Page]


def test_cancel_a_range_and_start_it_again(site: Site, open_page: OpenPage) -> None:
    """Of 200 runs 120 are counted, cancelled and started again: exactly those, and each once."""
    work = site.work("story")
    work.request(40, batch="old")
    begin = later()
    work.request(160, batch="new")
    end = later()
    ann, bo = (unique_name(name) for name in ("ann", "bo"))
    page = open_page(site.url)
    follow_link(page, site.link(site.key(ann, Role.OPERATOR)[0]))
    page.get_by_role("link", name="Functions", exact=True).click()
    page.get_by_role("link", name=work.slug).click()
    page.get_by_role("link", name="Cancel many…").click()
    page.wait_for_url("**/cancel")  # with its script, which chooses the range that is typed
    _say_which(page, begin, end)
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.get_by_role("heading", name="Counted", exact=True)).to_be_visible()
    expect(figure(page)).to_have_text("120")
    expect(page.locator(".sample li")).to_have_count(10)
    assert work.count("Cancelled") == 0
    with site.frozen(site.joiner):
        commit(page, 120)
        is_live(page)
        shows(page, "Queued", 0)
    shows(page, "Done", 120)
    for text in ("The bad deploy", "It charges twice"):
        expect(page.get_by_role("main")).to_contain_text(text)
    _are_cancelled(work)
    other = open_page(site.url)
    sign_in(other, site.key(bo, Role.OPERATOR)[1])
    _start_again_once(page, other)
    work.reaches("Scheduled", 200)
    assert len(work.cancelled(120)) == 120
    _see_who_did_what(site, open_page, ann, bo)


def _say_which(page: Page, begin: str, end: str) -> None:
    """Fill in the form; an error stands where it belongs, and what was typed stays."""
    page.get_by_label("After (UTC)").fill(begin)
    page.get_by_label("Before (UTC)").fill(end)
    expect(page.get_by_label("a range of its own:")).to_be_checked()
    expression = page.get_by_label("Only those for which")
    expression.fill("event.data.n <")
    page.get_by_label("Name (optional)").fill("The bad deploy")
    page.get_by_role("button", name="Count", exact=True).click()
    expect(expression).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#if-error")).to_be_visible()
    expect(page.get_by_label("After (UTC)")).to_have_value(begin)
    expect(page.get_by_label("Name (optional)")).to_have_value("The bad deploy")
    expression.fill("event.data.n < 120")
    page.get_by_role("button", name="Try it on the last 100 runs").click()
    tried = page.get_by_role("status").filter(has_text="It is true for")
    expect(tried).to_contain_text("of the last 100 runs")
    page.get_by_label("Reason (optional)").fill("It charges twice")


def _are_cancelled(work: Work) -> None:
    """Exactly the 120, each with one event."""
    work.reaches("Cancelled", 120)
    assert work.count("Scheduled") == 80
    cancelled = work.cancelled(120)
    assert len(cancelled) == len({one["run_id"] for one in cancelled}) == 120
    assert all(one["event"]["data"]["batch"] == "new" for one in cancelled)
    assert {one["event"]["data"]["n"] for one in cancelled} == set(range(120))


def _start_again_once(page: Page, other: Page) -> None:
    """Who has had the page open for a while comes too late, and is led to the replay."""
    other.goto(page.url)
    expect(other.get_by_role("main")).to_contain_text("None of them had begun")
    start_again(page, 120)
    page.wait_for_url("**/replays/*")
    shows(page, "Done", 120)
    with other.expect_response(re.compile("start-again$")) as answer:
        start_again(other, 120)
    assert answer.value.status == 409
    other.get_by_role("alert").get_by_role("link", name="See that replay").click()
    expect(other).to_have_url(page.url)


def _see_who_did_what(site: Site, open_page: OpenPage, ann: str, bo: str) -> None:
    page = open_page(site.url)
    sign_in(page, site.key("an admin", Role.ADMIN)[1])
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Who", exact=True).fill(ann)
    page.get_by_role("button", name="Search").click()
    rows = page.get_by_role("region", name="Audit trail").locator("tbody tr")
    told = (
        ("createReplay", "done"),
        ("createCancellation", "It charges twice"),
        ("createCancellation", "count only"),
        ("createCancellation", "invalid_request"),  # of the expression that was mistyped
    )
    expect(rows).to_have_count(len(told))
    for at, texts in enumerate(told):
        for text in texts:
            expect(rows.nth(at)).to_contain_text(text, ignore_case=True)
    page.get_by_label("Who", exact=True).fill(bo)
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("createReplay")
    expect(rows).to_contain_text("already_replayed")


def test_without_scripts(site: Site, open_page: OpenPage) -> None:
    """The same with forms and pages that renew themselves, which can be paused."""
    work = site.work("plain")
    work.request(12)
    page = open_page(site.url, scripts=False)
    follow_link(page, site.link(site.key("plain", Role.OPERATOR)[0]))
    count(page, work.slug, "event.data.n >= 5", reason="Plain")
    expect(figure(page)).to_have_text("7")
    with site.frozen(site.joiner):
        commit(page, 7)
        shows(page, "Queued", 0)
        # Between press and release of a button the page may renew itself, and the click is lost.
        page.get_by_role("link", name="Pause").dispatch_event("click")
        expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
        page.get_by_role("link", name="Refresh every 5 s").click()
        expect(page.locator("meta[http-equiv=refresh]")).to_have_count(1)
    shows(page, "Done", 7)
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    start_again(page, 7)
    page.wait_for_url("**/replays/*")
    shows(page, "Done", 7)
    work.reaches("Scheduled", 12)
    assert len(work.cancelled(7)) == 7


def test_two_operators_at_once(site: Site, open_page: OpenPage) -> None:
    """Both counted the same runs; the second is told that its cancellation found none of them."""
    work = site.work("both")
    work.request(30)
    pages = [open_page(site.url) for _ in range(2)]
    for page in pages:
        sign_in(page, site.key("both", Role.OPERATOR)[1])
        count(page, work.slug)
        expect(figure(page)).to_have_text("30")
    for page, runs in zip(pages, (30, 0), strict=True):
        commit(page, 30)
        shows(page, "Done", runs)
    expect(pages[0].locator(".notice.warn")).to_have_count(0)
    expect(pages[1].locator(".notice.warn")).to_contain_text(
        "30 runs had been counted before, 0 matched in the end"
    )
    assert len(work.cancelled(30)) == 30


def test_stop(site: Site, open_page: OpenPage) -> None:
    """A cancellation that hasn't begun is stopped, and cancels nothing."""
    work = site.work("stop")
    work.request(3)
    page = open_page(site.url)
    sign_in(page, site.key("stop", Role.OPERATOR)[1])
    count(page, work.slug)
    with site.frozen(site.router):
        commit(page, 3)
        page.get_by_label("Reason (optional)").fill("The wrong function")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status").filter(has_text="It was asked to stop")).to_be_visible()
    expect(page.locator("h2 .badge")).to_have_text(re.compile("Stopped|Done"))
    shown = int(figure(page).inner_text())
    work.reaches("Cancelled", shown)
    assert len(work.cancelled(shown)) == shown


def test_one_run(site: Site, open_page: OpenPage) -> None:
    """It is cancelled and started again alone; its page tells by whom and why."""
    work = site.work("one")
    work.request(2)
    page = open_page(site.url)
    name = unique_name("cy")
    sign_in(page, site.key(name, Role.OPERATOR)[1])
    page.goto(f"/runs/{work.newest()}")
    page.get_by_label("Reason (optional)").fill("Asked for by phone")
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.locator(".lead .badge")).to_have_text("Cancelled")
    cause = page.get_by_role("region", name="Why it was cancelled")
    for text in (name, "Asked for by phone"):
        expect(cause).to_contain_text(text)
    page.reload()
    page.get_by_role("button", name="Start again").click()
    page.wait_for_url("**/replays/*")
    shows(page, "Done", 1)
    assert [one["cause"]["type"] for one in work.cancelled(1)] == ["api"]


def test_a_function_is_paused_and_resumed(site: Site, open_page: OpenPage) -> None:
    """The page says since when, by whom and why."""
    work = site.work("pause")
    page = open_page(site.url)
    sign_in(page, site.key("pause", Role.OPERATOR)[1])
    page.goto(f"/functions/{work.slug}")
    page.get_by_label("Reason (optional)").first.fill("The printer is on fire")
    page.get_by_role("button", name="Pause", exact=True).last.click()
    expect(page.locator(".notice.warn")).to_contain_text("The printer is on fire")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status").filter(has_text="was resumed")).to_be_visible()
    expect(page.locator(".notice.warn")).to_have_count(0)


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        (Role.VIEWER, {"/sign-out"}),
        (Role.OPERATOR, {"/sign-out", "pause", "replay"}),
        (Role.ADMIN, {"/sign-out", "pause", "replay"}),
    ],
)
def test_what_roles_see(site: Site, open_page: OpenPage, role: Role, offered: set[str]) -> None:
    """What a role may not do is not offered, and refused if asked for."""
    slug = site.work("roles").slug
    page = open_page(site.url)
    sign_in(page, site.key(f"a {role}", role)[1])
    admin = role == Role.ADMIN
    for name in ("Audit", "API keys"):
        expect(page.get_by_role("link", name=name, exact=True)).to_have_count(int(admin))
    page.goto(f"/functions/{slug}")
    forms = page.locator("form").evaluate_all("all => all.map((one) => one.getAttribute('action'))")
    assert {one.removeprefix(f"/functions/{slug}/").split("#")[0] for one in forms} == offered
    cancel = page.get_by_role("link", name="Cancel many…")
    expect(cancel).to_have_count(int(role != Role.VIEWER))
    for path, allowed in ((f"/functions/{slug}/cancel", role != Role.VIEWER), ("/audit", admin)):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == (200 if allowed else 403)
        heading = page.get_by_role("heading", name="Not allowed")
        expect(heading).to_have_count(int(not allowed))


def test_a_sender(site: Site, open_page: OpenPage) -> None:
    """Who may only send events doesn't come in, and is told why."""
    page = open_page(site.url)
    page.goto("/")
    page.get_by_label("API key").fill(site.key("a sender", Role.SENDER)[1])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("needs a key with the role viewer")
