"""Names, reasons, events and fields that would like to be more than text."""

import html
import re
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.api.call.roles import Role
from streams.functions.registry import Registry
from tests.support.api import Api, add_runs, add_version, run_id, run_row
from tests.support.visiting import Visit
from tests.unit.streams.dashboard.conftest import Come
from tests.unit.streams.dashboard.test_pages import CANCELLATION, add_progress, add_request
from topology.records import Function, Trigger

# Each would show if it stood on a page as it is.
PLANTED = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{ 7 * 7 }}",
    "\u202egnp.exe",
    "\x1b[31mred",
    "</pre></code><b>",
    "&lt;b&gt;",
)
FORMS = (
    "/functions/reports-generate/cancel",
    "/functions/reports-generate/pause",
    "/functions/reports-generate/resume",
    "/functions/reports-generate/replay",
    f"/runs/{run_id(1_000, 1)}/cancel",
    f"/cancellations/{CANCELLATION}/stop",
    f"/cancellations/{CANCELLATION}/start-again",
    "/keys",
    "/keys/x/revoke",
    "/sign-in",
    "/sign-in/link",
)
LISTS = ("/runs", "/functions", "/cancellations", "/replays", "/audit", "/keys")


def unsafe(page: str) -> list[str]:
    """What stands there as it was planted, or would turn a line around."""
    found = [text for text in PLANTED if re.search("[<\"'\x1b\u202e]", text) and text in page]
    if "&lt;b&gt;" in page.replace("&lt;/pre&gt;&lt;/code&gt;&lt;b&gt;", ""):
        found.append("an escape that wasn't escaped")
    return found + re.findall("[\u202a-\u202e\u2066-\u2069\x1b]", page)


@pytest.mark.parametrize("text", PLANTED)
def test_planted_in_rows(come: Come, api: Api, text: str) -> None:
    """Wherever it was written, it is shown as what it is."""
    event = {"name": text, "id": text, "data": {text: text}}
    cause = {
        "type": text,
        "reason": text,
        "requested_by": text,
        "event": {"name": text, "id": text},
    }
    add_runs(
        api.service,
        run_row(
            1_000,
            1,
            status="cancelled",
            ended_at=2_000,
            function_id=text,
            event_id=text,
            worker=text,
            last_step=text,
            event=orjson.dumps(event).decode(),
            error=orjson.dumps({"message": text}).decode(),
            cause=orjson.dumps(cause).decode(),
        ),
    )
    named = {"name": text, "if": None}
    add_request(api, "cancel_runs", CANCELLATION, reason=text, requested_by=text, body=named)
    add_progress(api, CANCELLATION, error=text)
    visit = come(Role.ADMIN)
    for path in (
        "/",
        "/runs",
        f"/runs/{run_id(1_000, 1)}",
        "/cancellations",
        f"/cancellations/{CANCELLATION}",
    ):
        assert unsafe(visit.page(path)) == [], path


@pytest.mark.parametrize("text", PLANTED)
def test_planted_in_addresses(come: Come, text: str) -> None:
    """What an address says stands in fields, as it was, and nowhere as markup."""
    visit = come(Role.ADMIN)
    names = ("function_id", "event_id", "if", "status", "cursor", "actor", "after", "note", "next")
    for path in (*LISTS, "/sign-in", f"/runs/{quote(text)}", f"/functions/{quote(text)}"):
        headers = {"Accept": "text/html"}
        answer = visit.get(path, params=dict.fromkeys(names, text), headers=headers)
        assert answer.status_code < 500, path
        page = answer.text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "</pre></code><b>" not in page


@pytest.fixture
def admin(come: Come) -> Visit:
    """An admin who is signed in."""
    return come(Role.ADMIN)


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_any_fields(admin: Visit, data: st.DataObject) -> None:
    """Whatever a form says, it is answered; only Kafka's absence is a 503, and nothing is a 500."""
    names = ("step", "range", "started_after", "started_before", "if", "name", "reason", "count")
    more = ("confirm", "once", "running", "after", "from", "to", "spread", "role", "key", "token")
    values = (
        st.text(max_size=40)
        | st.sampled_from(PLANTED)
        | st.sampled_from(
            (
                "count",
                "commit",
                "try",
                "1h",
                "between",
                "never",
                "later",
                "2026-01-01T00:00",
                "admin",
            )
        )
    )
    fields = data.draw(st.dictionaries(st.sampled_from(names + more), values, max_size=6))
    encodable = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    token = {"csrf": admin.token}
    answer = admin.send(data.draw(st.sampled_from(FORMS)), **(token | encodable))
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"\xff=\xfe", b"&".join(b"a=%d" % number for number in range(200)), b"csrf=%ff", b"a" * 100],
)
def test_odd_bodies(come: Come, body: bytes) -> None:
    """A form that is none is refused."""
    visit = come(Role.ADMIN)
    headers = {"Origin": visit.api.url, "Content-Type": "application/x-www-form-urlencoded"}
    answer = visit.client.post("/functions/data-sync/pause", content=body, headers=headers)
    assert answer.status_code in {400, 403}


def test_other_kinds_of_forms(come: Come) -> None:
    """Uploads and JSON are no forms of these pages."""
    visit = come(Role.ADMIN)
    headers = {"Origin": visit.api.url}
    for more in ({"json": {"csrf": visit.token}}, {"files": {"a": b"x"}}):
        answer = visit.client.post("/functions/data-sync/pause", headers=headers, **more)
        assert answer.status_code == 415


def test_a_large_form(come: Come, api: Api) -> None:
    """It is no larger than any body."""
    visit = come(Role.ADMIN)
    limit = api.service.settings.api_body_limit
    answer = visit.send("/functions/data-sync/pause", csrf=visit.token, reason="x" * limit)
    assert answer.status_code == 413


def test_a_large_event(come: Come, api: Api) -> None:
    """An event of 512 KiB is shown."""
    event = {"name": "report/requested", "data": {"text": "x" * 500_000}}
    add_runs(api.service, run_row(1_000, 1, event=orjson.dumps(event).decode()))
    assert len(come(Role.VIEWER).page(f"/runs/{run_id(1_000, 1)}")) > 500_000


def test_many_functions(come: Come, api: Api) -> None:
    """Of 10,000 functions each is found, page by page or by its address."""
    registry, trigger = Registry(), Trigger(event="x")
    for number in range(10_000):
        add_version(registry, Function(app="many", id=f"f-{number:05}", triggers=(trigger,)))
    api.service.catalogue.show(registry, lambda: True)
    visit = come(Role.ADMIN)
    page = visit.page("/functions")
    assert page.count('href="/functions/many-f-') == 100
    (more,) = re.findall(r'href="([^"]*)" rel="next"', page)
    assert "many-f-00100" in visit.page(html.unescape(more))
    assert "many-f-09999" in visit.page("/functions/many-f-09999")
