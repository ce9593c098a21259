"""Pages that answer to a form which was refused: where they are found, and what they keep."""

import html
import re

import pytest

from streams.api.call.roles import Role
from tests.support.api import Api, add_runs, run_row
from tests.unit.streams.dashboard.conftest import Come
from tests.unit.streams.dashboard.test_pages import CANCELLATION, add_progress, add_request


def test_kafka_is_away(come: Come, api: Api) -> None:
    """A commit stays on its page, and is sent again with the same key: Kafka may have it."""
    add_request(api, "cancel_runs", CANCELLATION, body={"dry_run": True})
    add_progress(api, CANCELLATION, scanned=9, matched=7)
    visit = come(Role.OPERATOR)
    page = f"/functions/reports-generate/cancel?count={CANCELLATION}"
    sent = visit.hidden(page, page)
    answer = visit.send(page, **sent, step="commit")
    assert answer.status_code == 503
    assert "Kafka" in answer.text
    assert "Cancel 7 runs" in answer.text
    assert f'name="once" value="{sent["once"]}"' in answer.text


def test_starting_again_is_refused(come: Come, api: Api) -> None:
    """The page of the cancellation is live, leads on, and keeps what was typed."""
    add_request(api, "cancel_runs", CANCELLATION)
    add_progress(api, CANCELLATION, scanned=99, matched=99, cancelled=99)
    ended = {"status": "cancelled", "ended_at": 5_000, "cancellation_id": CANCELLATION}
    add_runs(api.service, *(run_row(1_000, number, **ended) for number in range(60)))
    visit = come(Role.OPERATOR)
    path = f"/cancellations/{CANCELLATION}"
    sent = visit.hidden(path, f"{path}/start-again")
    answer = visit.send(f"{path}/start-again", **sent, spread="soon", reason="a & b")
    assert answer.status_code == 422
    assert f'data-live="{path}"' in answer.text
    assert 'id="spread-error"' in answer.text
    assert 'value="soon"' in answer.text
    assert 'value="a &amp; b"' in answer.text
    (older,) = re.findall(r'href="([^"]*cursor[^"]*)"', answer.text)
    assert html.unescape(older).startswith(f"{path}?")
    assert f'value="{sent["once"]}"' not in answer.text


def test_a_pause_is_refused(come: Come) -> None:
    """The page of the function is live where it is found, not where the form was sent."""
    visit = come(Role.OPERATOR)
    path = "/functions/reports-generate"
    answer = visit.send(f"{path}/pause", csrf=visit.token, running="later", after="soon")
    assert answer.status_code == 422
    assert f'data-live="{path}"' in answer.text


@pytest.mark.parametrize(
    ("came_from", "leads_to"),
    [
        ("{url}/runs/x?note=y", "/runs/x?note=y"),
        ("{url}//evil.example", "/evil.example"),
        ("https://evil.example/runs", None),
        ("", None),
    ],
)
def test_the_way_back(come: Come, api: Api, came_from: str, leads_to: str | None) -> None:
    """A refused form leads back to its page, and never to another site."""
    visit = come(Role.OPERATOR)
    visit.client.headers["Referer"] = came_from.format(url=api.url)
    answer = visit.send("/runs/x/cancel", csrf="old")
    assert answer.status_code == 403
    found = re.findall(r'href="([^"]*)">Try again', answer.text)
    assert found == ([] if leads_to is None else [leads_to])


def test_a_page_is_asked_for_again(come: Come) -> None:
    """With its whole address."""
    answer = come(Role.VIEWER).get("/audit?actor=ann&action=x")
    assert answer.status_code == 403
    assert 'href="/audit?actor=ann&amp;action=x">Try again' in answer.text
