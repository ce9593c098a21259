"""Something on every page: an afternoon on which a report went wrong; and the list of all pages.

A page that comes to the dashboard comes to `PAGES`: it is looked at in `test_appearance.py`, and
`screenshots.py` takes its picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson
from playwright.sync_api import Page, expect

from streams.api.call.roles import Role
from streams.clock import now_ms
from tests.dashboard.site import Site
from tests.dashboard.visits import commit, count, shows, sign_in, start_again
from tests.support.deadline import eventually
from topology import topics

FUNCTIONS: Final = """
functions:
  - id: monthly
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.reportId}
      - {event: account/closed, if: "event.data.account == async.data.account && async.data.hard"}
    timeouts: {finish: 2h}
  - id: digest
    app: mail
    triggers: [{event: digest/due}]
    cancel_on: [{event: account/closed, match: data.account}]
    timeouts: {start: 2h}
  - {id: customers, app: imports, triggers: [{event: import/uploaded}]}
  - {id: nightly, app: search, triggers: [{event: reindex/scheduled}]}
"""
SLUG: Final = "reports-monthly"
_WORKERS: Final = ("worker-2f9c", "worker-81d0")
_ACCOUNTS: Final = ("acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne")
# More of these than need no confirmation.
WRONG: Final = 1_204
_RIGHT: Final = 140
_IMPORTS: Final = 24


@dataclass(frozen=True)
class Shown:
    """A page, and what is done there before it is looked at; `{…}` are ids of the scene."""

    path: str
    act: Callable[[Page], None] = lambda _: None
    signed_in: bool = True
    status: int = HTTPStatus.OK


def _mistyped(page: Page) -> None:
    page.get_by_label("Only those for which").fill("event.data.template == 'q3' &&")
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.locator("#if-error")).to_be_visible()


def _tried(page: Page) -> None:
    page.get_by_label("Only those for which").fill("event.data.template == 'q3'")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("It is true for")).to_be_visible()


def _redrive(page: Page) -> None:
    page.get_by_role("button", name="Send all again…").first.click()
    expect(page.get_by_text("can be sent again")).to_be_visible()


def _key_made(page: Page) -> None:
    page.get_by_label("For whom").fill("grafana")
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_text("It is shown this once")).to_be_visible()


PAGES: Final = {
    "sign-in": Shown("/sign-in", signed_in=False),
    "link": Shown("/sign-in/link?token=x", signed_in=False),
    "overview": Shown("/"),
    "runs": Shown("/runs?status=Running&status=Cancelled&function_id=reports-monthly"),
    "runs-none": Shown("/runs?event_id=nobody"),
    "runs-wrong": Shown("/runs?if=event.data.(", status=HTTPStatus.BAD_REQUEST),
    "run": Shown("/runs/{waiting}"),
    "run-cancelled": Shown("/runs/{cancelled}"),
    "run-failed": Shown("/runs/{failed}"),
    "functions": Shown("/functions"),
    "function": Shown(f"/functions/{SLUG}"),
    "function-paused": Shown("/functions/search-nightly"),
    "cancel": Shown(f"/functions/{SLUG}/cancel", _tried),
    "cancel-wrong": Shown(f"/functions/{SLUG}/cancel", _mistyped),
    "cancel-count": Shown(f"/functions/{SLUG}/cancel?count={{count}}"),
    "cancellations": Shown("/cancellations"),
    "cancellation": Shown("/cancellations/{cancellation}"),
    "cancellation-again": Shown("/cancellations/{started_again}"),
    "replays": Shown("/replays"),
    "replay": Shown("/replays/{replay}"),
    "dead-letters": Shown("/dead-letters"),
    "dead-letters-none": Shown("/dead-letters?class=too_deep"),
    "dead-letter": Shown("/dead-letters/{letter}"),
    "redrive": Shown("/dead-letters", _redrive),
    "system": Shown("/system"),
    "audit": Shown("/audit"),
    "keys": Shown("/keys", _key_made),
    "not-found": Shown("/runs/0", status=HTTPStatus.NOT_FOUND),
}


class Scene:
    """Functions, runs of every status, cancellations, replays, a pause, and who did it."""

    def __init__(self, site: Site) -> None:
        """Play it; `act` is what people do in the browser, and comes later."""
        self.site = site
        self.admin = site.key("on-call", Role.ADMIN)[1]
        self.ids: dict[str, str] = {}
        self._define()
        self._send()
        self._work()
        self._stop_some()
        self._send_what_nobody_reads()

    def act(self, page: Page) -> None:
        """Let somebody cancel many, start some again, and count without cancelling."""
        sign_in(page, self.admin)
        count(page, SLUG, "event.data.account == 'globex'", name="globex asked")
        runs = int(page.locator(".count .figure").inner_text())
        commit(page, runs)
        shows(page, "Done", runs)
        self.ids["started_again"] = _id_of(page)
        start_again(page, runs)
        page.wait_for_url("**/replays/*")
        shows(page, "Done", runs)
        self.ids["replay"] = _id_of(page)
        count(
            page,
            SLUG,
            "event.data.template == 'q3'",
            name="Q3 template adds the tax twice",
            reason="INC-4711: reports go out wrong since 14:02",
        )
        self.ids["count"] = page.url.rpartition("count=")[2]

    def commit(self, page: Page) -> None:
        """Cancel what was counted last."""
        page.goto(PAGES["cancel-count"].path.format_map(self.ids))
        page.locator("#confirm").fill(SLUG)
        commit(page, WRONG)
        shows(page, "Done", WRONG)
        self.ids["cancellation"] = _id_of(page)

    def path(self, name: str) -> str:
        """Where a page is found."""
        return PAGES[name].path.format_map(self.ids)

    def _define(self) -> None:
        self.site.apply(FUNCTIONS)
        # A second version, so that there are differences to see.
        self.site.apply(FUNCTIONS.replace("finish: 2h", "finish: 6h"))

    def _send(self) -> None:
        wrong = [_report(number, "q3") for number in range(WRONG)]
        right = [_report(WRONG + number, "q2") for number in range(_RIGHT)]
        self.site.send("report/requested", *right, *wrong)
        self.site.send(
            "digest/due",
            *({"id": f"digest-{name}", "data": {"account": name}} for name in _ACCOUNTS),
        )
        self.site.send(
            "import/uploaded",
            *({"id": f"import-{n}", "data": {"rows": 1_800 * n}} for n in range(1, _IMPORTS + 1)),
        )
        self._reaches("Scheduled", WRONG + _RIGHT)
        self._reaches("Scheduled", len(_ACCOUNTS), "mail-digest")
        self._reaches("Scheduled", _IMPORTS, "imports-customers")

    def _work(self) -> None:
        """What workers say: some runs are under way, asleep, done or failed."""
        self._tell("running", range(WRONG, WRONG + 87), step="render")
        soon = now_ms() + 3_600_000
        error = {"name": "TemplateError", "message": "q2: unknown field net_total"}
        self._tell("sleeping", range(WRONG + 12, WRONG + 18), step="wait", until=soon)
        self._tell("completed", range(WRONG + 18, WRONG + 82))
        self._tell("failed", range(WRONG + 82, WRONG + 87), error=error)
        self.ids["failed"] = self._newest("Failed")

    def _tell(self, status: str, numbers: range, **fields: object) -> None:
        """Let workers say that runs have a status."""
        updates = (
            {
                "function_id": SLUG,
                "event_id": f"report-{number}",
                "status": status,
                "attempt": 1,
                "worker": _WORKERS[number % len(_WORKERS)],
                **fields,
            }
            for number in numbers
        )
        self.site.produce(topics.RUN_UPDATES, *map(orjson.dumps, updates))
        self._reaches(status.capitalize(), len(numbers))

    def _stop_some(self) -> None:
        """Events cancel some; a function is paused."""
        site = self.site
        numbers = range(WRONG + 90, WRONG + 97)
        site.send(
            "report/cancelled",
            *({"id": f"cancel-{n}", "data": {"reportId": f"r-{n}"}} for n in numbers),
            topic=topics.CANCELS,
        )
        self._reaches("Cancelled", len(numbers))
        self.ids["cancelled"] = self._newest("Cancelled")
        self.ids["waiting"] = self._newest("Running", **{"if": "event.data.account != 'globex'"})
        site.post(
            "/v1/functions/search-nightly/pause", running="never", reason="The index is rebuilt"
        )
        site.send("reindex/scheduled", *({"data": {"shard": n}} for n in range(3)))
        self._reaches("Skipped", 3, "search-nightly")

    def _send_what_nobody_reads(self) -> None:
        """Records that become dead letters."""
        broken = b'{"name": "report/requested", "data": {"reportId": "r-7"'
        nameless = b'{"data": {"reportId": "r-8", "account": "hooli"}}'
        self.site.produce(topics.EVENTS, broken, nameless, nameless, b"\xff\xfe\x00")
        self.site.produce(topics.RUN_UPDATES, b'{"status": "done", "run_id": "r-9", "attempt": 1}')
        eventually(lambda: len(self.site.get("/v1/dead-letters")) == 5)
        letter = self.site.get("/v1/dead-letters", **{"class": "not_json"})[0]
        self.ids["letter"] = f"{letter['partition']}/{letter['offset']}"

    def _reaches(self, status: str, number: int, slug: str = SLUG) -> None:
        def count() -> int:
            counts = self.site.get("/v1/runs/counts", function_id=slug)
            return sum(one["count"] for one in counts if one["status"] == status)

        eventually(lambda: count() >= number)

    def _newest(self, status: str, **asked: str) -> str:
        runs = self.site.get("/v1/runs", function_id=SLUG, status=status, limit=1, **asked)
        return str(runs[0]["run_id"])


def _report(number: int, template: str) -> dict[str, object]:
    account = _ACCOUNTS[number % len(_ACCOUNTS)]
    data = {"reportId": f"r-{number}", "account": account, "template": template, "pages": 12}
    return {"id": f"report-{number}", "data": data}


def _id_of(page: Page) -> str:
    return page.url.rpartition("/")[2]
