"""Who may come in, for how long, and from where."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streams.api.call import keys
from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.dashboard import sessions
from streams.settings import load
from tests.support.api import NOWHERE, Api, open_api
from tests.support.deadline import eventually
from tests.support.visiting import Visit
from tests.unit.streams.dashboard.conftest import Come


@contextmanager
def served(folder: Path, **settings: object) -> Iterator[Api]:
    """The pages with other settings."""
    with open_api(load(kafka_bootstrap_servers=NOWHERE, state_dir=folder, **settings)) as api:
        api.know()
        yield api


def test_signed_out(come: Come) -> None:
    """Every page leads to the sign-in, and from there to where one wanted to go."""
    visit = come()
    answer = visit.get("/runs?status=Running")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/runs%3Fstatus%3DRunning"
    fields = visit.hidden(answer.headers["location"], "/sign-in")
    answer = visit.send("/sign-in", **fields, key=visit.api.keys[Role.VIEWER][1])
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?status=Running")
    assert "Runs" in visit.page("/runs")


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example", "x"])
def test_elsewhere(come: Come, to: str) -> None:
    """A sign-in leads to no other site."""
    visit = come()
    answer = visit.send("/sign-in", next=to, key=visit.api.keys[Role.VIEWER][1])
    assert answer.headers["location"] == "/"


def test_the_cookie(come: Come) -> None:
    """Scripts don't see it, other sites don't send it, and what it holds isn't stored."""
    visit = come()
    answer = visit.send("/sign-in", key=visit.api.keys[Role.VIEWER][1])
    cookie = answer.headers["set-cookie"]
    assert re.match(r"countermand_session=[\w-]{43};", cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie


def test_a_wrong_key(come: Come) -> None:
    """It says so, whatever is wrong; a right one comes in meanwhile, at once."""
    visit = come()
    right = visit.api.keys[Role.VIEWER][1]
    for key in ("", "x", "cmk_0000000000000000_" + 43 * "x", right[:-1] + "!"):
        answer = visit.send("/sign-in", key=key)
        assert answer.status_code == 401
        assert "unknown, wrong or revoked" in answer.text
    assert visit.send("/sign-in", key=right).status_code == 303


def test_a_sender(come: Come) -> None:
    """A key that may not even read doesn't come in."""
    visit = come()
    answer = visit.send("/sign-in", key=visit.api.keys[Role.SENDER][1])
    assert answer.status_code == 403
    assert "needs a key with the role viewer" in answer.text


def test_sign_out(come: Come) -> None:
    """It ends the session, not only the cookie."""
    visit = come(Role.VIEWER)
    cookie = visit.client.cookies["countermand_session"]
    assert visit.submit("/runs", "/sign-out").headers["location"] == "/sign-in"
    visit.client.cookies.set("countermand_session", cookie)
    assert visit.get("/runs").status_code == 303


def test_a_revoked_key(come: Come) -> None:
    """Its sessions end within a second or so."""
    visit = come(Role.VIEWER)
    visit.page("/runs")
    key = visit.api.keys[Role.VIEWER][0]
    keys.revoke_key(visit.api.service.engine, key.id, now_ms(), actor=None)
    assert eventually(lambda: visit.get("/runs").status_code == 303)


def test_twelve_hours(api: Api) -> None:
    """A session ends after twelve hours, however much it is used, and its row goes."""
    engine, now = api.service.engine, now_ms()
    session = sessions.begin_for_key(engine, "a", "viewer", now)
    assert sessions.find(engine, session.token, now + sessions.LASTS_MS - 1) is not None
    assert sessions.find(engine, session.token, now + sessions.LASTS_MS) is None
    sessions.begin_for_key(engine, "b", "viewer", now + sessions.LASTS_MS)
    assert sessions.find(engine, session.token, now) is None


def test_another_process(come: Come, api: Api) -> None:
    """A session is known to every process on the same database, so also after a restart."""
    visit = come(Role.VIEWER)
    with open_api(api.service.settings) as other:
        other.know()
        answer = httpx.get(f"{other.url}/runs", cookies=dict(visit.client.cookies))
    assert answer.status_code == 200


def test_a_link(come: Come, api: Api) -> None:
    """Its page shows a button, which works once."""
    engine = api.service.engine
    token = sessions.make_link(engine, api.keys[Role.ADMIN][0].id, now_ms())
    visit = come()
    visit.page(f"/sign-in/link?token={token}")
    fields = visit.hidden(f"/sign-in/link?token={token}", "/sign-in/link")
    assert visit.send("/sign-in/link", **fields).headers["location"] == "/"
    assert "a-admin" in visit.page("/functions")
    answer = come().send("/sign-in/link", **fields)
    assert answer.status_code == 410
    assert "used, or is older than ten minutes" in answer.text


def test_an_old_link(api: Api) -> None:
    """It is of no use after ten minutes."""
    engine, now = api.service.engine, now_ms()
    token = sessions.make_link(engine, "a", now)
    assert sessions.use_link(engine, token, now + sessions.LINK_LASTS_MS) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
def test_forms_from_elsewhere(come: Come, headers: dict[str, str]) -> None:
    """A form that another site sends is refused, though the cookie comes with it."""
    visit = come(Role.ADMIN)
    body = {"csrf": visit.token, "running": "never"}
    answer = visit.client.post("/functions/data-sync/pause", data=body, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ü"])
def test_forms_without_their_token(come: Come, token: str) -> None:
    """So is one that doesn't know the session."""
    answer = come(Role.ADMIN).send("/functions/data-sync/pause", csrf=token, running="never")
    assert answer.status_code == 403
    assert "out of date" in answer.text


def test_somebody_elses_token(come: Come) -> None:
    """Or knows another one."""
    token = come(Role.ADMIN).token
    answer = come(Role.ADMIN).send("/functions/data-sync/pause", csrf=token, running="never")
    assert answer.status_code == 403


def test_fetch_metadata_alone(come: Come) -> None:
    """A browser that sends no `Origin` says in another way that it is the same site."""
    visit = come(Role.VIEWER)
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = visit.client.post("/sign-out", data={"csrf": visit.token}, headers=headers)
    assert answer.status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
def test_other_names(come: Come, host: str) -> None:
    """A name that somebody points at this machine gets no pages; the API doesn't mind."""
    visit = come(Role.VIEWER)
    answer = visit.get("/runs", headers={"Host": host})
    assert answer.status_code in {400, 421}
    assert visit.api.call("GET", "/v1/runs", headers={"Host": "evil.example"}).status_code == 200


def test_a_public_url(clean_environment: None, tmp_path: Path) -> None:
    """Only its name is served, writes come from there, and cookies stay with TLS."""
    with served(tmp_path, public_url="https://cancel.example.com:8443") as api:
        visit = Visit(api)
        host = {"Host": "cancel.example.com:8443"}
        key = {"key": api.keys[Role.VIEWER][1]}
        assert visit.get("/sign-in").status_code == 421
        for origin in (api.url, "http://cancel.example.com:8443", "https://cancel.example.com"):
            answer = visit.client.post("/sign-in", data=key, headers=host | {"Origin": origin})
            assert answer.status_code == 403
        origin = "https://cancel.example.com:8443"
        answer = visit.client.post("/sign-in", data=key, headers=host | {"Origin": origin})
        visit.close()
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]


PROXY = {"proxy_user_header": "X-Forwarded-User", "proxy_role_header": "X-Forwarded-Groups"}


def test_a_proxy(clean_environment: None, tmp_path: Path) -> None:
    """Its users need no key; their names stand in the audit trail."""
    with served(tmp_path, proxy_peers="10.0.0.0/8, 127.0.0.1", **PROXY) as api:
        visit = Visit(api)
        headers = {"X-Forwarded-User": "ann@example.com", "X-Forwarded-Groups": "staff, Operator"}
        visit.client.headers.update(headers)
        assert "ann@example.com" in visit.page("/runs")
        answer = visit.submit("/functions/data-sync", "/functions/data-sync/pause", running="never")
        assert answer.status_code == 503  # nobody is there who could take it
        audit = api.get("/v1/audit", actor="ann@example.com")["data"]
        assert [entry["action"] for entry in audit] == ["pauseFunction"]
        assert audit[0]["api_key"].startswith("user:")
        del visit.client.headers["X-Forwarded-User"]
        assert visit.get("/runs").status_code == 303
        visit.close()


def test_another_user_of_a_proxy(clean_environment: None, tmp_path: Path) -> None:
    """Who comes with somebody else's cookie has their own session, with their own role."""
    with served(tmp_path, proxy_peers="127.0.0.1", **PROXY) as api:
        visit = Visit(api)
        visit.client.headers.update({"X-Forwarded-User": "ann", "X-Forwarded-Groups": "admin"})
        assert "API keys" in visit.page("/runs")
        visit.client.headers.update({"X-Forwarded-User": "bob", "X-Forwarded-Groups": "viewer"})
        page = visit.page("/runs")
        assert "bob" in page
        assert "API keys" not in page
        visit.close()


@pytest.mark.parametrize("groups", ["", "staff", "sender"])
def test_a_user_without_a_role(clean_environment: None, tmp_path: Path, groups: str) -> None:
    """Somebody whom the proxy gives no role that reads stays outside."""
    with served(tmp_path, proxy_peers="127.0.0.1", **PROXY) as api:
        headers = {"X-Forwarded-User": "ann", "X-Forwarded-Groups": groups}
        answer = httpx.get(f"{api.url}/runs", headers=headers)
    assert answer.status_code == 403
    assert "none of the roles" in answer.text


@pytest.mark.parametrize("peers", ["", "10.0.0.0/8"])
def test_no_proxy(clean_environment: None, tmp_path: Path, peers: str) -> None:
    """From anybody else these headers mean nothing, whatever else they forward."""
    proxy = PROXY if peers else {}
    with served(tmp_path, proxy_peers=peers, **proxy) as api:
        headers = {
            "X-Forwarded-User": "ann",
            "X-Forwarded-Groups": "admin",
            "X-Forwarded-For": "10.0.0.1",
            "Forwarded": "for=10.0.0.1",
        }
        answer = httpx.get(f"{api.url}/runs", headers=headers)
    assert answer.status_code == 303


def test_read_only(clean_environment: None, tmp_path: Path) -> None:
    """Nothing that writes is offered, and what is sent all the same is refused; but the way out."""
    with served(tmp_path, dashboard_read_only=True) as api:
        visit = Visit(api, Role.ADMIN)
        assert "Pause" not in visit.page("/functions/data-sync").replace(
            "data-pause hidden>Pause", ""
        )
        answer = visit.send("/functions/data-sync/pause", csrf=visit.token, running="never")
        assert answer.status_code == 403
        assert "read-only" in answer.text
        assert visit.submit("/runs", "/sign-out").status_code == 303
        visit.close()


def test_no_dashboard(clean_environment: None, tmp_path: Path) -> None:
    """It can be left out; the API stays."""
    with served(tmp_path, dashboard=False) as api:
        assert httpx.get(f"{api.url}/").status_code == 404
        assert httpx.get(f"{api.url}/sign-in").status_code == 404
        assert api.get("/v1/runs")["data"] == []
