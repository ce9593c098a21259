"""The report app's pages, as a browser without the script sees them."""

import asyncio
import re
from collections.abc import Iterator
from html import unescape

import pytest
from httpx import Client, Response

from examples.report_app import files, live, reports
from examples.report_app.database import Database
from examples.report_app.reports import Work
from examples.report_app.settings import Settings
from streams.settings import load
from tests.support.api import NOWHERE, PATIENCE_S
from tests.support.report_app import Served, serving

JSON = {"Accept": "application/json"}


class Browser:
    """Somebody who is signed in."""

    def __init__(self, client: Client, name: str) -> None:
        """Sign in."""
        self.client = client
        client.cookies.clear()
        self.cookies = client.post("/sign-in", data={"name": name}).cookies

    @property
    def csrf(self) -> str:
        """What the forms carry."""
        found = re.search(r'name="csrf" value="(\w+)"', self.get("/reports").text)
        assert found
        return found[1]

    def get(self, path: str) -> Response:
        """Open a page."""
        self.client.cookies = self.cookies
        return self.client.get(path)

    def post(self, path: str, *, headers: dict[str, str] | None = None, **fields: str) -> Response:
        """Send a form."""
        data = {"csrf": self.csrf} | fields
        self.client.cookies = self.cookies
        return self.client.post(path, data=data, headers=headers)

    def new_report(self, title: str = "Sales") -> str:
        """Make a report; its id."""
        assert self.post("/reports", title=title, year="2025").status_code == 303
        found = re.search(r'id="report-(\w+)"', self.get("/reports").text)
        assert found
        return found[1]


@pytest.fixture
def served(clean_environment: None, sqlite: Settings) -> Iterator[Served]:
    """The app, with a Kafka that doesn't answer."""
    with serving(sqlite, load(kafka_bootstrap_servers=NOWHERE)) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    """A browser that nobody has used yet."""
    with Client(base_url=served.url, timeout=PATIENCE_S) as found:
        yield found


@pytest.fixture
def ann(client: Client) -> Browser:
    """Ann's browser."""
    return Browser(client, "Ann")


@pytest.fixture
def database(served: Served) -> Database:
    """What the app writes to."""
    return served.database


def work_of(database: Database, id_: str) -> Work:
    """A run that has begun with a report."""
    report = reports.find(database, "Ann", id_)
    work = Work(id_, str(report.request_id), "run-1")
    reports.started(database, work)
    return work


def test_signing_in_and_out(client: Client) -> None:
    """The cookie is out of scripts' reach, and worth nothing after signing out."""
    assert client.get("/").headers["location"] == "/reports"
    assert client.get("/reports").headers["location"] == "/sign-in"
    assert "Your name" in client.get("/sign-in").text
    for name in ("", "   ", "x" * 41, "a\0b"):
        assert client.post("/sign-in", data={"name": name}).status_code == 422
    answer = client.post("/sign-in", data={"name": " Ann  B "})
    assert answer.headers["location"] == "/reports"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    page = client.get("/reports")
    assert "Ann B" in page.text
    browser = Browser(client, "Ann")
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/reports").headers["location"] == "/sign-in"


def test_a_forged_form_does_nothing(client: Client, ann: Browser, database: Database) -> None:
    """Without the token of the session, or from another site, nothing happens."""
    id_ = ann.new_report()
    path = f"/reports/{id_}/generate"
    bobs = Browser(client, "Bob").csrf
    for csrf in ("", "wrong", "\u00e9", bobs):
        assert ann.post(path, csrf=csrf).status_code == 403
    for origin in ("https://evil.example", "null"):
        assert ann.post(path, headers={"Origin": origin}).status_code == 403
        assert client.post("/sign-in", headers={"Origin": origin}).status_code == 403
    assert reports.find(database, "Ann", id_).status == "idle"
    assert ann.post(path, headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 303
    client.cookies.clear()
    assert client.post(path, data={"csrf": ann.csrf}).status_code == 303
    client.cookies.clear()
    assert client.post(path).status_code == 401


def test_a_new_report_is_checked(ann: Browser) -> None:
    """What is wrong is said beside the form, which keeps what was typed."""
    for title, year, wrong in (
        (" ", "2025", "title"),
        ("x" * 121, "2025", "title"),
        ("Sales", "25", "year"),
        ("Sales", "²²²²", "year"),
    ):
        answer = ann.post("/reports", title=title, year=year)
        assert answer.status_code == 422
        assert f"A {wrong} has" in answer.text
        assert year in unescape(answer.text)


def test_text_is_never_markup(ann: Browser) -> None:
    """A title stays a text wherever it is shown."""
    id_ = ann.new_report('<script>alert("1")</script>')
    for path in ("/reports", f"/reports/{id_}"):
        page = ann.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_no_page_loads_anything_from_elsewhere(ann: Browser) -> None:
    """Scripts and styles are the app's own, and the browser is told so."""
    page = ann.get("/reports")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert re.findall(r'(?:src|href)="(?!/|#)[^"]*"', page.text) == []
    for path in re.findall(r'(?:src|href)="(/static/[^"]*)"', page.text):
        assert ann.get(path).status_code == 200


def test_a_cancel_without_the_script(ann: Browser, database: Database) -> None:
    """The button leads to a page that asks, whose button cancels; pages renew themselves."""
    id_ = ann.new_report()
    path = f"/reports/{id_}"
    assert "http-equiv" not in ann.get(path).text
    assert ann.post(f"{path}/generate").headers["location"] == path
    page = ann.get(path).text
    assert '<noscript><meta http-equiv="refresh"' in page
    assert f'action="{path}/cancel"' in page
    question = ann.get(f"{path}/cancel").text
    assert "Cancel report generation?" in question
    assert "Keep generating" in question
    assert ann.post(f"{path}/cancel").headers["location"] == path
    page = ann.get(path).text
    assert re.search(r"<button[^>]* disabled>Cancelling…</button>", page)
    assert ">Cancelling<" in page
    assert ann.get(f"{path}/cancel").headers["location"] == path
    reports.cancelled(database, work_of(database, id_))
    page = ann.get(path).text
    assert "Cancelled by Ann" in page
    assert "http-equiv" not in page


def test_a_double_click_is_harmless(ann: Browser) -> None:
    """Asked twice, it is as if asked once, for each button."""
    id_ = ann.new_report()
    for action, told in (("generate", "generating"), ("cancel", "cancelling")):
        for _ in range(2):
            answer = ann.post(f"/reports/{id_}/{action}", headers=JSON)
            assert (answer.status_code, answer.json()) == (202, {"status": told})


def test_errors_are_shown(ann: Browser, database: Database) -> None:
    """In the page for people, as JSON for the script."""
    id_ = ann.new_report()
    message = "Report is not currently generating"
    answer = ann.post(f"/reports/{id_}/cancel")
    assert answer.status_code == 409
    assert message in answer.text
    assert 'role="alert"' in answer.text
    answer = ann.post(f"/reports/{id_}/cancel", headers=JSON)
    assert (answer.status_code, answer.json()) == (409, {"error": message})
    ann.post(f"/reports/{id_}/generate")
    reports.failed(database, work_of(database, id_), "There are no figures for 2031")
    assert "There are no figures for 2031" in ann.get(f"/reports/{id_}").text


def test_somebody_elses_report_is_not_found(client: Client, ann: Browser) -> None:
    """As if there were none, for every address."""
    id_ = ann.new_report()
    bob = Browser(client, "Bob")
    assert "Sales</a>" not in bob.get("/reports").text
    for which in (id_, "0" * 32):
        for path in ("", "/cancel", "/file", "/live"):
            answer = bob.get(f"/reports/{which}{path}")
            assert answer.status_code == 404
            assert "Report not found" in answer.text
        for path in ("/cancel", "/generate"):
            answer = bob.post(f"/reports/{which}{path}", headers=JSON)
            assert (answer.status_code, answer.json()) == (404, {"error": "Report not found"})
            assert bob.post(f"/reports/{which}{path}").status_code == 404


def test_a_generated_report_is_downloaded(
    ann: Browser, database: Database, sqlite: Settings
) -> None:
    """Once it is generated, and not before; a cancel that lost is told of."""
    id_ = ann.new_report()
    ann.post(f"/reports/{id_}/generate")
    work = work_of(database, id_)
    files.begin(sqlite, id_, work.run_id)
    files.append(sqlite, id_, work.run_id, [["north", 1, 2]])
    files.finish(sqlite, id_, work.run_id)
    assert ann.get(f"/reports/{id_}/file").status_code == 404
    ann.post(f"/reports/{id_}/cancel")
    reports.completed(database, work, despite_cancel=True)
    answer = ann.get(f"/reports/{id_}/file")
    assert (answer.text, answer.headers["content-type"]) == (
        "north,1,2\r\n",
        "text/csv; charset=utf-8",
    )
    assert "sales-2025.csv" in answer.headers["content-disposition"]
    assert "It was finished before it could be cancelled" in ann.get(f"/reports/{id_}").text


def test_the_page_is_sent_what_changes(served: Served, ann: Browser, database: Database) -> None:
    """What a page shows comes at once, and again when somebody else has changed it."""
    id_ = ann.new_report()
    with ann.client.stream("GET", f"/reports/{id_}/live") as answer:
        lines = (line for line in answer.iter_lines() if "data-status" in line)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert 'data-status="idle"' in next(lines)
        reports.request_generation(database, "Ann", id_)
        assert 'data-status="generating"' in next(lines)
        served.end()  # doesn't wait for the page to go
        assert list(lines) == []


def test_a_stream_sends_what_has_changed() -> None:
    """The first state at once, then only changes; it ends when the server does."""
    states = iter(["one", "one", "two", "two", "two\nlines"])
    left = ["one"]

    def render() -> str:
        left[0] = next(states, "")
        return left[0]

    async def collect() -> list[bytes]:
        return [one async for one in live.changes(render, lambda: left[0] == "two\nlines")]

    assert asyncio.run(collect()) == [
        b"data: one\nretry: 1000\n\n",
        b"data: two\nretry: 1000\n\n",
        b"data: two\ndata: lines\nretry: 1000\n\n",
    ]
