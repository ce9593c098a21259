"""A server that answers as an app does, and signs with a key of its own; runs in a test."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson

from streams.inngest.signing import SigningKey


class Forger:
    """An app with one function, `work`, which is never tried again; a context manager."""

    def __init__(self, app_id: str, signing_key: str) -> None:
        """`signing_key` isn't the one that Countermand has."""
        self.id = app_id
        self.calls: list[str] = []
        self._key = SigningKey(signing_key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/api/inngest"

    def configuration(self) -> dict[str, Any]:
        """What it registers."""
        slug = f"{self.id}-work"
        url = f"{self.url}?fnId={slug}&stepId=step"
        step = {"runtime": {"type": "http", "url": url}, "retries": {"attempts": 0}}
        function = {
            "id": slug,
            "triggers": [{"event": "forged/requested"}],
            "steps": {"step": step},
        }
        return {"app_id": self.id, "url": self.url, "functions": [function]}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        forger = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._answer(orjson.dumps(forger.configuration()))

            def do_POST(self) -> None:
                forger.calls.append(self.headers["x-inngest-signature"])
                self._answer(b"null")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _answer(self, body: bytes) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-inngest-sdk", "inngest-py:v0.5.19")
                self.send_header("x-inngest-sync-kind", "in_band")
                signature = forger._key.sign(body, int(time.time()))
                self.send_header("x-inngest-signature", signature)
                self.end_headers()
                self.wfile.write(body)

        return Handler
