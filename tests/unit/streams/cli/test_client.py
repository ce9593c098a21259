"""The client over real HTTP: what it sends, what it sends again, and what it makes of answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.cli.client import ApiClient, path_of
from streams.errors import (
    CountermandError,
    NotFoundError,
    RefusedError,
    SettingsError,
    UnreachableError,
)

OK = (200, {"data": {"id": "1"}, "metadata": {}})
UNAVAILABLE = (503, {"detail": "Kafka is away", "code": "kafka_unavailable"})
IN_USE = (409, {"detail": "under way", "code": "idempotency_key_in_use"})
LOST: tuple[int, Any] = (0, None)


class Server(ThreadingHTTPServer):
    """Gives prepared answers, one after the other, and keeps what was asked."""

    daemon_threads = False

    def __init__(self, answers: list[tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str], str]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One answer; status 0 closes the connection instead."""

    server: Server

    def answer(self) -> None:
        """Keep the call, and give the next answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, document = self.server.answers.pop(0)
        if not status:
            self.close_connection = True
            return
        text = document if isinstance(document, str) else json.dumps(document)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  # as the standard library calls them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Print nothing."""


@contextmanager
def serving(
    *answers: tuple[int, Any], key: str | None = "cmk_k"
) -> Iterator[tuple[ApiClient, Server]]:
    """A client, and the server that it calls."""
    server = Server(list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with ApiClient(server.url + "/", key) as client:
            yield client, server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_key_and_what_is_given_are_sent() -> None:
    """Members that are None are left out."""
    with serving(OK, OK) as (client, server):
        assert client.post(path_of("runs", "a b"), {"if": "x", "name": None}) == {"id": "1"}
        client.get("/v1/runs", {"status": ["a", "b"], "cursor": None})
    (posted, got) = server.asked
    assert posted[:2] == ("POST", "/v1/runs/a%20b")
    assert posted[2]["Authorization"] == "Bearer cmk_k"
    assert json.loads(posted[3]) == {"if": "x"}
    assert got[1] == "/v1/runs?status=a&status=b"


@pytest.mark.parametrize("again", [UNAVAILABLE, IN_USE, LOST])
def test_a_post_is_repeated_under_one_key(again: tuple[int, Any]) -> None:
    """It may have been done, so the API must know it for the same."""
    with serving(again, OK, OK) as (client, server):
        client.post("/v1/replays", {})
        client.post("/v1/replays", {})
    first, second, other = (asked[2]["Idempotency-Key"] for asked in server.asked)
    assert first == second != other


def test_a_get_is_repeated() -> None:
    """A connection that was closed while nobody looked is no failure."""
    with serving(LOST, OK) as (client, server):
        assert client.get("/v1/runs")["data"] == {"id": "1"}
    assert len(server.asked) == 2


@pytest.mark.parametrize("answer", [UNAVAILABLE, LOST])
def test_a_delete_is_sent_once(answer: tuple[int, Any]) -> None:
    """Sent again it would find the run cancelled, by itself."""
    with serving(answer) as (client, server), pytest.raises(UnreachableError):
        client.delete("/v1/runs/1")
    assert len(server.asked) == 1


def test_nobody_there_is_told_at_once() -> None:
    """With the setting to look at."""
    with (
        ApiClient("http://127.0.0.1:1") as client,
        pytest.raises(UnreachableError, match=r"is it running.*COUNTERMAND_API_URL"),
    ):
        client.post("/v1/replays", {})


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "[]"), (200, {"ok": True})])
def test_another_server_is_told_apart(answer: tuple[int, Any]) -> None:
    """What answers there isn't the API."""
    with (
        serving(answer) as (client, _),
        pytest.raises(CountermandError, match="COUNTERMAND_API_URL"),
    ):
        client.get("/v1/runs")


def test_what_is_not_there_can_be_asked_for() -> None:
    """`find` gives None, `get` raises."""
    missing = (404, {"detail": "no such run", "code": "run_not_found"})
    refused = (401, {"detail": "no key", "code": "key_missing"})
    with serving(missing, missing, refused) as (client, _):
        assert client.find("/v1/runs/1") is None
        with pytest.raises(NotFoundError, match="no such run"):
            client.get("/v1/runs/1")
        with pytest.raises(RefusedError):
            client.find("/v1/runs/1")


def page(rows: int, cursor: str | None) -> tuple[int, Any]:
    """A page of a list."""
    return 200, {"data": [{}] * rows, "metadata": {"next_cursor": cursor}}


def test_pages_are_followed_up_to_the_limit() -> None:
    """The last asks only for what is left; empty pages with a cursor are no end."""
    with serving(page(100, "c1"), page(0, "c2"), page(50, "c3")) as (client, server):
        found = list(client.pages("/v1/runs", {"if": "x"}, limit=150, cursor="c0"))
    assert [len(one["data"]) for one in found] == [100, 0, 50]
    assert [asked[1] for asked in server.asked] == [
        "/v1/runs?if=x&limit=100&cursor=c0",
        "/v1/runs?if=x&limit=50&cursor=c1",
        "/v1/runs?if=x&limit=50&cursor=c2",
    ]


@pytest.mark.parametrize("url", ["", "localhost:8420", "ftp://host", "http://", "http://[::1"])
def test_a_url_that_cannot_be_used_is_a_wrong_setting(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError, match="COUNTERMAND_API_URL"):
        ApiClient(url)


@pytest.mark.parametrize("key", ["two words", "cmk_\n1", "cmk_ü"])
def test_a_key_that_cannot_be_sent_is_a_wrong_setting(key: str) -> None:
    """The message doesn't show it."""
    with pytest.raises(SettingsError, match="COUNTERMAND_API_KEY is no key") as caught:
        ApiClient("http://127.0.0.1:1", key)
    assert key not in str(caught.value)
