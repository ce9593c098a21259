"""Metrics and health over HTTP: the pages, and a small server for processes that have none."""

import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from types import TracebackType
from typing import Final, Self, TypeAlias

from streams.errors import SettingsError
from streams.health import OK, Health, Kind, health_page
from streams.metrics import Metrics, metrics_page

JSON: Final = "application/json"
PATHS: Final = ("/metrics", *(f"/healthz/{kind}" for kind in Kind))
# As `socketserver` has it.
_Request: TypeAlias = socket.socket | tuple[bytes, socket.socket]
_NOT_FOUND: Final = 404
# What anybody may take who reaches the port: the time and the bytes of a request, and a number of
# connections, the oldest of which ends for a new one.
REQUEST_S: Final = 5.0
_REQUEST_BYTES: Final = 16 * 1024
CONNECTIONS: Final = 32


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

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        health: Health,
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        """Serve on `host` and `port`; 0 takes a free port, which `port` and `url` give.

        A request that takes longer than `request_s` seconds ends without an answer.
        """
        known = {"metrics": metrics, "health": health, "request_s": request_s}
        handler = type("Handler", (_Handler,), known)
        try:
            self._server = _Server((host, port), handler)
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


class _Server(ThreadingHTTPServer):
    """A thread for each of a few connections."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type["_Handler"]) -> None:
        super().__init__(address, handler)
        # In their order; threads that end take theirs out.
        self._open: dict[_Request, None] = {}

    def process_request(self, request: _Request, client_address: object) -> None:
        for oldest in list(self._open)[: len(self._open) + 1 - CONNECTIONS]:
            self._open.pop(oldest, None)
            assert isinstance(oldest, socket.socket)
            with suppress(OSError):  # it has just ended
                oldest.shutdown(socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Request) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request for a page."""

    metrics: Metrics
    health: Health
    request_s: float
    server_version = "countermand"
    sys_version = ""

    def handle(self) -> None:
        """Answer, unless the client is too slow, or gone."""
        with suppress(OSError):
            head = self._head()
            self.rfile.close()
            self.rfile = BytesIO(head)
            self.handle_one_request()

    def _head(self) -> bytes:
        """What the client sends within the bounds, up to an empty line."""
        end = time.monotonic() + self.request_s
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _REQUEST_BYTES:
            self.connection.settimeout(max(end - time.monotonic(), 0.001))
            received = self.connection.recv(_REQUEST_BYTES - len(head))
            if not received:
                break
            head += received
        self.connection.settimeout(self.request_s)
        return head

    def do_GET(self) -> None:
        status, content_type, body = page(self.path.partition("?")[0], self.metrics, self.health)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object, **__: object) -> None:
        """Log nothing: probes come every few seconds."""
