"""Changes reach who looks at a page; streams end when they have to."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from streams.api.call import keys
from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.dashboard import live
from streams.database.engine import writing
from streams.database.schema import POSITIONS, SESSIONS
from streams.settings import Settings, load
from tests.support.api import NOWHERE, Api, add_runs, open_api, run_id, run_row
from tests.support.deadline import eventually
from tests.support.visiting import Visit
from tests.unit.streams.dashboard.conftest import Come


def move(api: Api, offset: int) -> None:
    """Let the read model have moved."""
    row = {"topic": "countermand.runs", "partition": offset, "topic_id": "a", "as_of": now_ms()}
    with writing(api.service.engine) as connection:
        connection.execute(insert(POSITIONS).values(row | {"next_offset": 1}))


def events(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """The ids and texts of a stream's events; one that has a name comes with it as its id."""
    lines: list[str] = []
    for line in answer.iter_lines():
        if line:
            lines.append(line)
            continue
        names = [one.partition(": ")[2] for one in lines if one.startswith(("id: ", "event: "))]
        data = [one.removeprefix("data:") for one in lines if one.startswith("data:")]
        if names:
            yield names[0], "\n".join(data)
        lines = []


def test_a_change(come: Come, api: Api) -> None:
    """Who looks at a list sees what comes; who has the newest state isn't sent it again."""
    add_runs(api.service, run_row(1_000, 1))
    visit = come(Role.VIEWER)
    with visit.client.stream("GET", "/live", params={"page": "/runs?status=Scheduled"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer)
        _, html = next(found)
        assert run_id(1_000, 1) in html
        assert "<form" not in html
        add_runs(api.service, run_row(1_000, 2))
        move(api, 1)
        seen, html = next(found)
        assert run_id(1_000, 2) in html
    headers = {"Last-Event-ID": seen}
    add_runs(api.service, run_row(1_000, 3))
    with visit.client.stream(
        "GET", "/live", params={"page": "/runs?status=Scheduled"}, headers=headers
    ) as answer:
        _, html = next(events(answer))
        assert run_id(1_000, 3) in html


@pytest.mark.parametrize("page", ["/", "/functions/reports-generate", "/cancellations", "/replays"])
def test_live_pages(come: Come, page: str) -> None:
    """The other pages that change have such a part, too."""
    visit = come(Role.VIEWER)
    (address,) = re.findall(r'data-live="([^"]*)"', visit.page(page))
    assert address == page
    with visit.client.stream("GET", "/live", params={"page": page}) as answer:
        version, html = next(events(answer))
    assert re.fullmatch("[0-9a-f]{16}", version)
    assert html.strip()


def test_a_revoked_key(come: Come, api: Api) -> None:
    """Who may look no more, sees no more."""
    visit = come(Role.VIEWER)
    with visit.client.stream("GET", "/live", params={"page": "/runs"}) as answer:
        found = events(answer)
        next(found)
        keys.revoke_key(api.service.engine, api.keys[Role.VIEWER][0].id, now_ms(), actor=None)
        assert next(found)[0] == "ended"
        assert list(found) == []


def test_others_look_on(come: Come, api: Api) -> None:
    """Who shares a page with somebody whose key is revoked goes on to see what comes."""
    first, second = come(Role.VIEWER), come()
    _, text = keys.create_key(api.service.engine, "b", Role.VIEWER, now_ms(), actor=None)
    second.send("/sign-in", key=text)
    asked = {"page": "/runs"}
    with (
        first.client.stream("GET", "/live", params=asked) as one,
        second.client.stream("GET", "/live", params=asked) as other,
    ):
        changes = events(other)
        assert next(events(one))
        assert next(changes)
        keys.revoke_key(api.service.engine, api.keys[Role.VIEWER][0].id, now_ms(), actor=None)
        eventually(lambda: first.get("/runs").status_code == 303)
        add_runs(api.service, run_row(1_000, 7))
        move(api, 7)
        _, html = next(changes)
        assert run_id(1_000, 7) in html


@pytest.mark.parametrize(
    "page", ["", "runs", "/v1/runs", "/live?page=/", "//evil.example", "/nothing", "/runs/ü"]
)
def test_what_is_no_page(come: Come, page: str) -> None:
    """There is nothing to see."""
    visit = come(Role.ADMIN)
    with visit.client.stream("GET", "/live", params={"page": page}) as answer:
        if answer.status_code == 200:
            assert next(events(answer))[0] == "ended"
        else:
            assert answer.status_code == 404


def test_signed_out(come: Come) -> None:
    """Nobody looks without a session; the browser is told so, and asks no more."""
    answer = come().get("/live", params={"page": "/runs"})
    assert answer.text == "event: ended\ndata: Signed out\n\n"


def test_the_server_stops(settings: Settings) -> None:
    """An open stream doesn't keep it from stopping, and ends."""
    ended = threading.Event()

    def look(visit: Visit) -> None:
        with visit.client.stream("GET", "/live", params={"page": "/runs"}) as answer:
            found = events(answer)
            next(found)
            looking.set()
            list(found)
        ended.set()

    looking = threading.Event()
    with open_api(settings) as api:
        visit = Visit(api, Role.VIEWER)
        thread = threading.Thread(target=look, args=(visit,))
        thread.start()
        assert looking.wait(90)
    thread.join(90)
    visit.close()
    assert ended.is_set()


def test_too_many(come: Come, api: Api) -> None:
    """A bounded number of browsers look at once; who goes makes room."""
    hub: live.Hub = api.app.state.live
    hub.watching += live.MOST
    visit = come(Role.VIEWER)
    answer = visit.get("/live", params={"page": "/runs"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    hub.watching -= live.MOST
    with visit.client.stream("GET", "/live", params={"page": "/runs"}) as answer:
        assert answer.status_code == 200


def test_the_session_of_a_proxys_user_ends(clean_environment: None, tmp_path: Path) -> None:
    """The stream ends with it; no other session is begun each second."""
    found = load(
        kafka_bootstrap_servers=NOWHERE,
        state_dir=tmp_path,
        proxy_peers="127.0.0.1",
        proxy_user_header="X-Forwarded-User",
    )
    with open_api(found) as api:
        visit = Visit(api)
        visit.client.headers["X-Forwarded-User"] = "ann"
        visit.page("/runs")
        with visit.client.stream("GET", "/live", params={"page": "/runs"}) as answer:
            seen = events(answer)
            next(seen)
            with writing(api.service.engine) as connection:
                connection.execute(SESSIONS.delete())
            assert next(seen)[0] == "ended"
            assert list(seen) == []
        visit.close()
