"""How an app is asked for its functions, and what its answers mean."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from streams.errors import RefusedError
from streams.inngest.caller import Origins
from streams.inngest.register import Taken
from streams.inngest.signing import Keys, SigningKey
from streams.inngest.sync import Syncer

KEY = SigningKey("signkey-test-0123")
KIND = "x-inngest-sync-kind"
SIGNATURE = "x-inngest-signature"


class Answer(NamedTuple):
    """What an app answers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Registrar:
    """Stands for Kafka; keeps what is registered."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def take(self, body: bytes, _sdk: str, *, moved: bool) -> Taken:
        """Keep a registration."""
        self.bodies.append(body)
        return Taken("app", (), ("moved",) if moved else ())


@contextmanager
def app(answer: Callable[[Mapping[str, str]], Answer]) -> Iterator[str]:
    """The URL of an app that answers so to the headers of a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            found = answer({name.lower(): text for name, text in self.headers.items()})
            self.send_response(found.status)
            own = {"x-inngest-sdk": "any", "content-length": str(len(found.body))}
            for name, text in (own | dict(found.headers)).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/inngest"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Older:
    """An app of an older SDK for Python, in the mode `dev` or `cloud`, and how it was asked."""

    def __init__(self, mode: str) -> None:
        self.asked: list[str] = []
        self._mode = mode

    def __call__(self, headers: Mapping[str, str]) -> Answer:
        """Refuse to tell the functions, and to register itself at a server of another mode."""
        self.asked.append(headers.get(KIND) or headers.get("x-inngest-server-kind", ""))
        if self.asked[-1] == "in_band":
            return Answer(401, b'{"message": "request must be signed for in-band sync"}')
        if self.asked[-1] != self._mode:
            return Answer(400, b'{"message": "Sync rejected"}')
        return Answer(200, b'{"ok": true, "modified": true}')


def syncer(*keys: SigningKey) -> tuple[Syncer, Registrar]:
    """One that asks apps of this machine."""
    registrar = Registrar()
    found = Syncer(Keys(keys), registrar, Origins([], loopback=True))  # type: ignore[arg-type]  # stands for it
    return found, registrar


def test_an_app_that_wants_a_signature_in_development_registers_itself() -> None:
    """Older SDKs for Python tell their functions only to who signs, and here nobody does."""
    (asking, registrar), older = syncer(), Older("dev")
    with app(older) as url:
        assert asking.sync(url) is None
    assert older.asked == ["in_band", "dev"]
    assert registrar.bodies == []


def test_an_app_in_production_isn_t_made_to_register_itself() -> None:
    """It would do so at Inngest's own server, or wherever its settings say."""
    (asking, _), older = syncer(), Older("cloud")
    with app(older) as url, pytest.raises(RefusedError, match="answers 400"):
        asking.sync(url)
    assert older.asked == ["in_band", "dev"]


def test_a_signature_that_isn_t_taken_is_a_refusal() -> None:
    """Where there are keys, the app isn't asked in another way."""
    (asking, _), older = syncer(KEY), Older("dev")
    with app(older) as url, pytest.raises(RefusedError, match="must be signed"):
        asking.sync(url)
    assert older.asked == ["in_band"]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_answer_that_is_signed_is_taken(end: bytes) -> None:
    """Go ends it with a newline that it hasn't signed."""
    asking, registrar = syncer(KEY)
    body = b'{"app_id": "app"}'
    headers = {KIND: "in_band", SIGNATURE: KEY.sign(body, int(time.time()))}
    with app(lambda _: Answer(200, body + end, headers)) as url:
        assert asking.sync(url) == Taken("app", (), ())
    assert registrar.bodies == [body + end]


def test_an_answer_of_another_key_isn_t_taken() -> None:
    """Who doesn't have the key is no app of ours."""
    asking, registrar = syncer(KEY)
    body = b'{"app_id": "app"}'
    other = SigningKey("signkey-test-4567").sign(body, int(time.time()))
    headers = {KIND: "in_band", SIGNATURE: other}
    with (
        app(lambda _: Answer(200, body, headers)) as url,
        pytest.raises(RefusedError, match="isn't signed"),
    ):
        asking.sync(url)
    assert registrar.bodies == []
