"""The small web server: metrics and health, nothing else."""

import select
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import CollectorRegistry

from streams.errors import SettingsError
from streams.health import Health, Kind
from streams.metrics import Metrics
from streams.web import CONNECTIONS, WebServer


def get(url: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a URL."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # our own
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_pages_are_served_until_closed() -> None:
    """Each page answers with its status; no thread is left."""
    health = Health()
    health.add(Kind.READY, "partitions", lambda: "none")
    metrics = Metrics(CollectorRegistry())
    with WebServer("127.0.0.1", 0, metrics, health) as web:
        assert get(f"{web.url}/healthz/live")[0] == 200
        assert get(f"{web.url}/healthz/ready")[:2] == (503, "application/json")
        assert b"countermand_build_info" in get(f"{web.url}/metrics")[2]
        assert get(f"{web.url}/table/state")[0] == 404
        url = web.url
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/healthz/live")


def test_a_taken_port_says_which_setting_to_change() -> None:
    """Two processes on one machine is the usual reason."""
    metrics, health = Metrics(CollectorRegistry()), Health()
    with (
        WebServer("127.0.0.1", 0, metrics, health) as web,
        pytest.raises(SettingsError, match="COUNTERMAND_WEB_PORT"),
    ):
        WebServer("127.0.0.1", web.port, metrics, health)


def test_half_open_connections_keep_nobody_out() -> None:
    """There are never more than so many; the oldest ends for a new one."""
    metrics, health = Metrics(CollectorRegistry()), Health()
    with WebServer("127.0.0.1", 0, metrics, health) as web, ExitStack() as half_open:
        connections = [
            half_open.enter_context(socket.create_connection(("127.0.0.1", web.port), 60))
            for _ in range(3 * CONNECTIONS)
        ]
        assert get(f"{web.url}/healthz/live")[0] == 200
        assert [one.recv(1) for one in connections[: 2 * CONNECTIONS]] == [b""] * 2 * CONNECTIONS


@pytest.mark.parametrize("rest", [b"X: " + b"a" * 20_000, b"a: b\r\n" * 4_000])
def test_a_head_is_bounded_in_bytes(rest: bytes) -> None:
    """What is beyond isn't read, and there is an answer before the end."""
    metrics, health = Metrics(CollectorRegistry()), Health()
    with (
        WebServer("127.0.0.1", 0, metrics, health) as web,
        socket.create_connection(("127.0.0.1", web.port), 60) as connection,
    ):
        connection.sendall(b"GET /healthz/live HTTP/1.0\r\n" + rest)
        assert connection.recv(12) in {b"HTTP/1.0 200", b"HTTP/1.0 431"}


def test_a_half_open_head_ends() -> None:
    """Though its client sends a byte now and then."""
    metrics, health = Metrics(CollectorRegistry()), Health()
    with (
        WebServer("127.0.0.1", 0, metrics, health, request_s=0.1) as web,
        socket.create_connection(("127.0.0.1", web.port), 60) as connection,
        suppress(ConnectionError),
    ):
        while not select.select([connection], [], [], 0.01)[0]:
            connection.sendall(b"a")
        assert connection.recv(1) == b""
