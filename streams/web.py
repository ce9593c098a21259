"""Metrics and health over HTTP: the pages, and a small server for processes that have none."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from streams.errors import SettingsError
from streams.health import OK, Health, Kind, health_page
from streams.metrics import Metrics, metrics_page

JSON: Final = "application/json"
PATHS: Final = ("/metrics", *(f"/healthz/{kind}" for kind in Kind))
_NOT_FOUND: Final = 404
_IDLE_SECONDS: Final = 5


def page(path: str, metrics: Metrics, health: Health) -> tuple[int, str, bytes]:
    """Status, content type and body of the page under a path; status 404 outside of `PATHS`."""
    if path == "/metrics":
        body, content_type = metrics_page(metrics)
        return OK, content_type, body
    for kind in Kind:
        if path == f"/healthz/{kind}":
            status, body = health_page(health, kind)
            return status, JSON, body
    return _NOT_FOUND, JSON, b'{"error":"not found"}'


class WebServer:
    """Serves the pages in threads of its own until it is closed; also a context manager.

    Raises:
        SettingsError: the address is in use, or isn't one of this machine.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        """Serve on `host` and `port`; 0 takes a free port, which `port` and `url` give."""
        handler = type("Handler", (_Handler,), {"metrics": metrics, "health": health})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise SettingsError(
                f"Can't serve metrics and health on {host}:{port} ({error.strerror}): "
                "set COUNTERMAND_WEB_HOST and COUNTERMAND_WEB_PORT, or port 0 for a free one"
            ) from error
        self._host = host
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="web", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The server's URL without a path."""
        return f"http://{self._host}:{self.port}"

    def close(self) -> None:
        """Stop the server and its threads."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request for a page."""

    metrics: Metrics
    health: Health
    timeout = _IDLE_SECONDS
    server_version = "countermand"
    sys_version = ""

    def do_GET(self) -> None:
        status, content_type, body = page(self.path.partition("?")[0], self.metrics, self.health)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object, **__: object) -> None:
        """Log nothing: probes come every few seconds."""
