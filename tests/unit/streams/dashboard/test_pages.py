"""What pages show and offer, to whom, from rows that are there."""

import re
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import POSITIONS, PROGRESS, REQUESTS
from tests.support.api import Api, add_runs, run_id, run_row
from tests.unit.streams.dashboard.conftest import Come
from topology import limits

PAGES = ("/", "/runs", "/functions", "/functions/reports-generate", "/cancellations", "/replays")
OF_ADMINS = ("/audit", "/keys")
CANCELLATION = run_id(2_000_000_000_000)


def add_request(api: Api, kind: str, request_id: str, **changes: Any) -> None:
    """Put a request into the read model."""
    bodies = {
        "cancel_runs": {
            "app_id": "reports",
            "function_id": "generate",
            "started_before": 2_000,
            "dry_run": False,
        },
        "replay": {
            "function_id": "reports-generate",
            "from": 1_000,
            "to": 2_000,
            "statuses": ["cancelled"],
        },
    }
    body = bodies[kind] | changes.pop("body", {})
    row = {
        "request_id": request_id,
        "type": kind,
        "target": request_id,
        "function_id": "reports-generate",
        "requested_by": "ann",
        "reason": None,
        "at": 1_000,
        "received_at": 1_000,
        "body": orjson.dumps(body).decode(),
    }
    with writing(api.service.engine) as connection:
        connection.execute(insert(REQUESTS).values(row | changes))


def add_progress(api: Api, request_id: str, state: str = "done", **counts: Any) -> None:
    """Say for every partition of the topics how far it is; the counts are those of the first."""
    names = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    with writing(api.service.engine) as connection:
        for partition in range(api.service.partitions.get()):
            given = counts if partition == 0 else {}
            row = {
                "request_id": request_id,
                "partition": partition,
                "state": state,
                "sample": "[]",
                "updated_at": 1_000,
            }
            connection.execute(insert(PROGRESS).values(row | dict.fromkeys(names, 0) | given))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_empty(come: Come, role: Role) -> None:
    """Where nothing is yet, each page says what to do."""
    visit = come(role)
    for path in PAGES:
        assert "<h1>" in visit.page(path)
    assert "No run fits" in visit.page("/runs")
    assert "choose “Cancel many”" in visit.page("/cancellations")


@pytest.mark.parametrize("path", OF_ADMINS)
def test_for_admins(come: Come, path: str) -> None:
    """Others aren't offered these pages, and are refused if they ask."""
    for role in (Role.VIEWER, Role.OPERATOR):
        visit = come(role)
        assert f'href="{path}"' not in visit.page("/")
        answer = visit.get(path)
        assert answer.status_code == 403
        assert "needs a key with the role admin" in answer.text
    visit = come(Role.ADMIN)
    assert f'href="{path}"' in visit.page("/")
    visit.page(path)


def test_what_a_viewer_is_offered(come: Come, api: Api) -> None:
    """To look, and nothing else; what is sent all the same is refused by the API."""
    add_runs(api.service, run_row(1_000, 1))
    visit = come(Role.VIEWER)
    for path in ("/functions/reports-generate", f"/runs/{run_id(1_000, 1)}"):
        forms = re.findall(r'action="([^"]*)"', visit.page(path))
        assert forms == ["/sign-out"]
    for path in (
        "/functions/reports-generate/pause",
        "/functions/reports-generate/cancel",
        f"/runs/{run_id(1_000, 1)}/cancel",
        "/keys",
    ):
        answer = visit.send(path, csrf=visit.token, running="never", range="1h")
        assert answer.status_code == 403, path
    assert visit.get("/functions/reports-generate/cancel").status_code == 403


def test_runs(come: Come, api: Api) -> None:
    """The filter stands in the address, in its fields, and in the address of the next page."""
    rows = [run_row(1_000 + number, number) for number in range(60)]
    rows += [run_row(5_000, 99, status="failed", ended_at=6_000)]
    add_runs(api.service, *rows)
    visit = come(Role.VIEWER)
    page = visit.page("/runs?status=Scheduled&function_id=reports-generate")
    assert page.count('href="/runs/0') == 50
    assert re.search(r'value="Scheduled" checked', page)
    assert 'value="reports-generate"' in page
    (more,) = re.findall(r'href="(/runs\?[^"]*cursor[^"]*)"', page)
    second = visit.page(more.replace("&amp;", "&"))
    assert second.count('href="/runs/0') == 10
    assert "status=Scheduled" in more
    ended = visit.page(
        "/runs?ended_after=1970-01-01T00:00:05.999&ended_before=1970-01-01T00:00:06.001"
    )
    assert re.findall(r'href="/runs/(\w+)"', ended) == [run_id(5_000, 99)]


def test_a_wrong_expression(come: Come) -> None:
    """The error stands beside its field, with a mark at its place, and what was typed stays."""
    answer = come(Role.VIEWER).get("/runs", params={"if": "event.data.a ==  'x"})
    assert answer.status_code == 400
    assert 'id="if-error"' in answer.text
    assert "event.data.a ==  &#39;x" in answer.text
    assert re.search(r'class="caret"[^>]*>event.data.a ==  &#39;x\n +\^', answer.text)


@pytest.mark.parametrize(
    ("field", "value"), [("received_after", "yesterday"), ("status", "Lost"), ("replay_id", "x")]
)
def test_wrong_filters(come: Come, field: str, value: str) -> None:
    """So does what is wrong with any other."""
    answer = come(Role.VIEWER).get("/runs", params={field: value})
    assert answer.status_code == 400
    assert 'class="error"' in answer.text or 'class="notice bad"' in answer.text


def test_a_run(come: Come, api: Api) -> None:
    """What is known of it: its story, what it waits for, its event."""
    add_runs(
        api.service,
        run_row(
            1_000,
            1,
            status="sleeping",
            started_at=2_000,
            worker="worker-7",
            last_step="render",
            sleep_until=9_000,
            event=orjson.dumps({"name": "report/requested", "data": {"id": "r-1"}}).decode(),
        ),
    )
    api.service.catalogue.versions("reports-generate")
    page = come(Role.OPERATOR).page(f"/runs/{run_id(1_000, 1).lower()}")
    for text in ("worker-7", "last step render", "sleeps until then", "1970-01-01 00:00:09"):
        assert text in page
    assert f'action="/runs/{run_id(1_000, 1)}/cancel"' in page


def test_a_cancelled_run(come: Come, api: Api) -> None:
    """It is cancelling until its worker has left it; the cause leads to where it came from."""
    cause = {
        "type": "event",
        "event": {
            "id": "c-1",
            "name": "report/cancelled",
            "topic": "t",
            "partition": 3,
            "offset": 9,
        },
        "rule": {"index": 0, "version": 3, "expression": "event.data.id == async.data.id"},
    }
    row = run_row(1_000, 1, status="cancelled", started_at=1_500, ended_at=2_000, worker="w")
    row["cause"] = orjson.dumps(cause).decode()
    add_runs(
        api.service, row, run_row(1_000, 2) | row | {"run_id": run_id(1_000, 2), "stopped_at": 3}
    )
    visit = come(Role.VIEWER)
    page = visit.page(f"/runs/{run_id(1_000, 1)}")
    assert "Cancelling" in page
    for text in ("report/cancelled", "c-1", "Partition", "number 1 of version 3"):
        assert text in page
    assert "Cancelling" not in visit.page(f"/runs/{run_id(1_000, 2)}")


@pytest.mark.parametrize("path", ["/runs/counts", "/runs/x", "/cancellations/x", "/replays/%00"])
def test_no_such_thing(come: Come, path: str) -> None:
    """What is no id is not found."""
    answer = come(Role.ADMIN).get(path)
    assert answer.status_code == 404
    assert "Not found" in answer.text


def test_a_function(come: Come) -> None:
    """Its rules, and whether they are looked up or scan."""
    page = come(Role.OPERATOR).page("/functions/reports-generate")
    for text in (
        "report/cancelled",
        "by key",
        "Version 0",
        'action="/functions/reports-generate/pause"',
    ):
        assert text in page


def test_a_cancellation(come: Come, api: Api) -> None:
    """Its counts, and that it cancelled others than were counted before."""
    add_request(api, "cancel_runs", CANCELLATION, reason="deploy", body={"expected": 120})
    add_progress(api, CANCELLATION, scanned=500, matched=123, cancelled=123, failed=2)
    page = come(Role.OPERATOR).page(f"/cancellations/{CANCELLATION}")
    assert "120 runs had been counted before, 123 matched in the end" in page
    for text in ("deploy", "ann", "Done", "123"):
        assert text in page


def test_starting_again(come: Come, api: Api) -> None:
    """It says how many had begun."""
    add_request(api, "cancel_runs", CANCELLATION)
    add_progress(api, CANCELLATION, scanned=3, matched=3, cancelled=3)
    ended = {"status": "cancelled", "ended_at": 5_000, "cancellation_id": CANCELLATION}
    add_runs(
        api.service,
        run_row(1_000, 1, **ended),
        run_row(1_000, 2, **ended, started_at=1_100),
        run_row(1_000, 3, **ended),
    )
    page = come(Role.OPERATOR).page(f"/cancellations/{CANCELLATION}")
    assert "1 of them had begun" in page
    assert "Start 3 runs again" in page


def test_a_count(come: Come, api: Api) -> None:
    """Of 1,001 runs the function's name has to be typed; of none nothing can be sent."""
    for number, matched in ((1, 1_001), (2, 0), (3, 7)):
        id_ = run_id(2_000_000_000_000, number)
        add_request(api, "cancel_runs", id_, body={"dry_run": True})
        add_progress(api, id_, scanned=2_000, matched=matched)
    visit = come(Role.OPERATOR)
    path = "/functions/reports-generate/cancel"

    def count(number: int) -> str:
        return f"{path}?count={run_id(2_000_000_000_000, number)}"

    many = visit.page(count(1))
    assert "Cancel 1,001 runs" in many
    assert 'name="confirm"' in many
    assert "Cancel many" in visit.page(count(2))
    assert 'value="commit"' not in visit.page(count(2))
    assert 'name="confirm"' not in visit.page(count(3))
    for number, typed, why in (
        (1, "reports", "type the function’s name"),
        (1, "", "type the function’s name"),
        (2, "", "nothing to cancel"),
    ):
        id_ = run_id(2_000_000_000_000, number)
        answer = visit.send(path, csrf=visit.token, step="commit", count=id_, confirm=typed)
        assert answer.status_code == 422
        assert why in answer.text.replace("&#39;", "’")
    sent = {"step": "commit", "count": run_id(2_000_000_000_000, 1), "confirm": "reports-generate"}
    answer = visit.send(path, csrf=visit.token, **sent)
    assert answer.status_code == 503  # Kafka is away
    assert "Kafka" in answer.text


def test_a_count_of_another_function(come: Come, api: Api) -> None:
    """A count is committed for its function alone, and only if it is one."""
    add_request(api, "cancel_runs", CANCELLATION, body={"dry_run": True})
    add_request(api, "cancel_runs", run_id(2_000_000_000_001))
    visit = come(Role.OPERATOR)
    for slug, id_ in (
        ("data-sync", CANCELLATION),
        ("reports-generate", run_id(2_000_000_000_001)),
        ("reports-generate", "x"),
    ):
        sent = {"csrf": visit.token, "step": "commit", "count": id_}
        assert visit.send(f"/functions/{slug}/cancel", **sent).status_code == 404


def test_the_form_keeps_what_was_typed(come: Come) -> None:
    """Each error stands where it belongs."""
    visit = come(Role.OPERATOR)
    typed = {
        "range": "between",
        "started_after": "2026-01-02T00:00",
        "started_before": "2026-01-01T00:00",
        "if": "event.data.(",
        "name": "the bad deploy",
        "reason": "it\nwas",
    }
    answer = visit.send(
        "/functions/reports-generate/cancel", csrf=visit.token, step="count", **typed
    )
    assert answer.status_code == 400
    for name in ("started_after", "if"):
        assert f'id="{name}-error"' in answer.text
    for text in ("2026-01-02T00:00", "event.data.(", "the bad deploy", 'value="between" checked'):
        assert text in answer.text


def test_trying_an_expression(come: Come, api: Api) -> None:
    """It is asked of the last hundred runs of the function alone."""
    rows = [run_row(1_000 + number, number) for number in range(150)]
    add_runs(api.service, *rows, run_row(9_000, 7, function_id="data-sync"))
    visit = come(Role.OPERATOR)
    typed = {"step": "try", "range": "1h", "if": "event.data.n < 60"}
    answer = visit.send("/functions/reports-generate/cancel", csrf=visit.token, **typed)
    assert answer.status_code == 200
    assert "<strong>10</strong> of the last 100 runs" in answer.text


def test_a_replay(come: Come, api: Api) -> None:
    """Its counts, and what was asked."""
    id_ = run_id(2_000_000_000_000)
    add_request(api, "replay", id_)
    add_progress(api, id_, matched=4, replayed=4)
    page = come(Role.VIEWER).page(f"/replays/{id_}")
    assert "started again" in page
    assert id_ in come(Role.VIEWER).page("/replays")


def test_a_count_of_a_replay(come: Come, api: Api) -> None:
    """What was counted can be started again as it was asked for."""
    id_ = run_id(2_000_000_000_000)
    add_request(api, "replay", id_, reason="mended", body={"dry_run": True})
    add_progress(api, id_, matched=4)
    visit = come(Role.OPERATOR)
    fields = visit.hidden(f"/replays/{id_}", "/functions/reports-generate/replay")
    assert {name: fields[name] for name in ("from", "to", "status_cancelled", "reason")} == {
        "from": "1970-01-01T00:00:01.000Z",
        "to": "1970-01-01T00:00:02.000Z",
        "status_cancelled": "yes",
        "reason": "mended",
    }
    assert "Start 4 runs again" in visit.page(f"/replays/{id_}")


def test_keys(come: Come) -> None:
    """A key is shown once; a reload of the page makes no second one."""
    visit = come(Role.ADMIN)
    fields = visit.hidden("/keys", "/keys") | {"name": "deploy bot", "role": "operator"}
    made = visit.send("/keys", **fields)
    (key,) = set(re.findall(r"<code>(cmk_[\w-]+)</code>", made.text))
    again = visit.send("/keys", **fields)
    assert "can’t be shown again" in again.text
    assert key not in visit.page("/keys")
    assert visit.page("/keys").count("deploy bot</td>") == 1
    id_ = key.split("_")[1]
    assert visit.submit("/keys", f"/keys/{id_}/revoke").status_code == 303
    assert f'action="/keys/{id_}/revoke"' not in visit.page("/keys")
    assert "revokeKey" in visit.page("/audit?action=revokeKey")


def test_a_key_without_a_name(come: Come) -> None:
    """It isn't made, and the page says why."""
    answer = come(Role.ADMIN).submit("/keys", "/keys", name="", role="viewer")
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text


def test_behind(come: Come, api: Api) -> None:
    """Where the read model is behind, each page says since when."""
    visit = come(Role.VIEWER)
    row = {"topic": "countermand.runs", "partition": 0, "topic_id": "a", "next_offset": 1}
    with writing(api.service.engine) as connection:
        # Ahead, so that it isn't behind before the page has come.
        ahead = {"as_of": now_ms() + limits.MINUTE_MS}
        connection.execute(insert(POSITIONS).values(row | ahead))
    assert "the read model is behind" not in visit.page("/runs")
    with writing(api.service.engine) as connection:
        connection.execute(POSITIONS.update().values(as_of=now_ms() - limits.MINUTE_MS))
    for path in PAGES:
        assert "the read model is behind" in visit.page(path)


def test_kafka_is_away(come: Come, api: Api) -> None:
    """What needs it says so; all that is in the database is shown."""
    add_runs(api.service, run_row(1_000, 1))
    visit = come(Role.OPERATOR)
    assert run_id(1_000, 1) in visit.page("/runs")
    answer = visit.submit(
        f"/runs/{run_id(1_000, 1)}", f"/runs/{run_id(1_000, 1)}/cancel", reason="x"
    )
    assert answer.status_code == 503
    assert "Kafka doesn’t answer" in answer.text
    assert answer.headers["retry-after"]


def test_the_same_with_curl(come: Come, api: Api) -> None:
    """The command has the filter, quoted; not where it has what a shell may obey."""
    visit = come(Role.VIEWER)
    page = visit.get("/runs", params={"event_id": "it's $(here)"}).text
    assert f"&#39;{api.url}/v1/runs?event_id=it%27s+%24%28here%29&amp;limit=50&#39;" in page
    assert "Bearer $COUNTERMAND_API_KEY" in page


@pytest.mark.parametrize("path", ["/sign-in", "/runs", "/runs/x", "/static/nothing.js"])
def test_headers(come: Come, path: str) -> None:
    """Pages and refusals alike tell the browser to trust nothing else."""
    answer = come(Role.VIEWER).get(path)
    if path.startswith("/static"):
        assert answer.status_code == 404
        return
    policy = answer.headers["content-security-policy"]
    assert policy == (
        "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"


def test_static(come: Come) -> None:
    """Scripts and styles are kept for ever, under addresses with a hash."""
    page = come().page("/sign-in")
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) >= 3
    for address in addresses:
        answer = come().get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert re.fullmatch(r"/static/\w+\.[0-9a-f]{12}\.\w+", address)


def test_no_inline_code(come: Come) -> None:
    """The policy allows none, and there is none."""
    visit = come(Role.ADMIN)
    for path in (*PAGES, *OF_ADMINS):
        page = visit.page(path)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page), path


def test_pages_are_counted_by_route(come: Come, api: Api) -> None:
    """The live part above all, which lasts as long as its page: it is no slow call."""
    visit = come(Role.VIEWER)
    visit.get("/runs/somebody's")
    visit.get("/live")
    come().get("/sign-in")
    page = visit.get("/metrics").text
    counted = re.findall(r'^countermand_api_calls_total\{.*route="([^"]*)"', page, re.MULTILINE)
    assert {"/runs/{run_id}", "/live", "/sign-in"} <= set(counted)
    assert "somebody" not in page
