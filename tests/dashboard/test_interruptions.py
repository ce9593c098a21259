"""What happens to pages while processes stop, and to sessions whose keys are revoked."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from streams.api.call.roles import Role
from streams.broker import LocalBroker
from tests.dashboard.site import Site
from tests.dashboard.visits import commit, count, figure, is_live, shows, sign_in
from tests.support.deadline import eventually

OpenPage = Callable[..., Page]
# While a page loads only the page before it can tell what it shows.
_TELL_WHAT_IS_SAID = """() => new MutationObserver(() => setTimeout(() => fetch("/told", {
    method: "POST", body: document.getElementById("said").textContent,
}))).observe(document.documentElement, {attributeFilter: ["aria-busy"]})"""
_SEND_TWICE = "form => { form.requestSubmit(); form.requestSubmit(); }"


def test_a_revoked_key(site: Site, open_page: OpenPage) -> None:
    """Its session ends: open pages say so, forms are refused, other pages ask to sign in."""
    work = site.work("revoked")
    work.request(1)
    key, text = site.key("revoked", Role.OPERATOR)
    page, other = open_page(site.url), open_page(site.url)
    for one in (page, other):
        sign_in(one, text)
        one.goto(f"/runs/{work.newest()}")
        is_live(one)
    site.revoke(key)
    for one in (page, other):
        expect(one.locator("[data-live-state]")).to_have_text("Signed out")
    page.get_by_role("button", name="Cancel this run").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    other.goto("/runs")
    expect(other.get_by_label("API key")).to_be_visible()
    assert work.count("Scheduled") == 1


def test_a_page_that_takes_its_time(site: Site, open_page: OpenPage) -> None:
    """The page before it says that it loads; a second click sends nothing more."""
    work = site.work("slow")
    page = open_page(site.url)
    sign_in(page, site.key("slow", Role.OPERATOR)[1])
    page.goto(f"/functions/{work.slug}")
    held: list[Route] = []
    said: list[str | None] = []

    def hold(route: Route) -> None:
        held.append(route)
        let_go()

    def tell(route: Route) -> None:
        said.append(route.request.post_data)
        route.fulfill()
        let_go()

    def let_go() -> None:
        if len(held) == len(said) == 1:  # whichever came first
            held[0].continue_()

    page.route("**/functions/*/pause", hold)
    page.route("**/told", tell)
    page.evaluate(_TELL_WHAT_IS_SAID)
    page.locator("form[action$='/pause']").evaluate(_SEND_TWICE)
    expect(page.get_by_text("Paused since")).to_be_visible()
    assert said == ["Loading…"]
    assert len(held) == 1
    expect(page.locator("html")).not_to_have_attribute("aria-busy", "true")


def test_the_api_restarts(site: Site, open_page: OpenPage) -> None:
    """Killed during a cancellation: the open page goes on by itself, with the same session."""
    work = site.work("restart")
    work.request(20)
    with site.another_api() as api:
        page = open_page(api.url)
        sign_in(page, site.key("restart", Role.OPERATOR)[1])
        count(page, work.slug)
        with site.frozen(site.joiner):
            commit(page, 20)
            is_live(page)
            api.kill()
            expect(page.locator("[data-live-state]")).to_have_text("Reconnecting…")
            api.start()
            site.is_up(api)
            is_live(page)
        shows(page, "Done", 20)
        page.goto("/runs")
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_the_read_model_is_behind(site: Site, open_page: OpenPage) -> None:
    """Pages say as of when they are, also one that is open; it goes when the read model goes on."""
    page = open_page(site.url)
    sign_in(page, site.key("behind", Role.VIEWER)[1])
    is_live(page)
    stale = page.locator(".notice.stale")
    expect(stale).to_have_count(0)
    with site.frozen(site.read_model):
        expect(stale).to_contain_text("the read model is behind")
        page.goto("/runs")
        expect(stale).to_contain_text("As of 20")
    # Thawed, it first tells what it saw before: the notice may go, and come once more for a second.
    expect(stale).to_have_count(0)
    page.goto("/")
    expect(page.get_by_role("heading", name="What waits")).to_be_visible()
    expect(stale).to_have_count(0)


def test_kafka_stops(tmp_path: Path, prepared_cache: None, open_page: OpenPage) -> None:
    """Pages can be read; a write says that Kafka is away, keeps the form, and works later, once."""
    with LocalBroker() as broker, Site(broker.bootstrap_servers, tmp_path) as site:
        work = site.work("away")
        work.request(5)
        page = open_page(site.url)
        sign_in(page, site.key("away", Role.OPERATOR)[1])
        count(page, work.slug, reason="Kept")
        broker.stop()
        page.get_by_role("button", name="Cancel 5 runs").click()
        expect(page.get_by_role("alert")).to_contain_text("Kafka")
        expect(figure(page)).to_have_text("5")
        other = page.context.new_page()
        other.goto(f"/runs?function_id={work.slug}")
        expect(other.get_by_role("region", name="Runs").locator("tbody tr")).to_have_count(5)
        broker.start()
        site.is_up(site.router, site.joiner, site.read_model, site.api)
        eventually(lambda: _is_taken(page))
        shows(page, "Done", 5)
        expect(page.get_by_role("main")).to_contain_text("Kept")
        work.reaches("Cancelled", 5)
        assert len(work.cancelled(5)) == 5


def _is_taken(page: Page) -> bool:
    """Press the button; the API finds Kafka again some seconds after it is there."""
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        page.get_by_role("button", name="Cancel 5 runs").click()
    page.wait_for_load_state()
    return answer.value.status == HTTPStatus.SEE_OTHER
