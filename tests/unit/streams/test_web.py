"""The small web server: metrics and health, nothing else."""

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from streams.errors import SettingsError
from streams.health import Health, Kind
from streams.metrics import Metrics
from streams.web import WebServer


def get(url: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a URL."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own
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
