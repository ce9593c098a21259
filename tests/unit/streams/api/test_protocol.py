"""What anybody may take of the server who can connect: raw sockets against the real one."""

import dataclasses
import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import parse_headers
from io import BytesIO
from typing import Any

import pytest

from streams.api.call.roles import Role
from streams.api.protocol import HEAD_FIELDS, PIPELINED, Patience
from streams.settings import Settings
from tests.support.api import PATIENCE_S, Api, add_runs, open_api, run_row
from tests.support.deadline import eventually

AT = 1_700_000_000_000
MIB = 1024 * 1024
LIVE = b"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n"
# As long as the machine may take for anything, but for what one test is about.
CALM = Patience(idle=60, head=60, rest=60, taken=60)


@contextmanager
def dial(api: Api, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.socket() as found:
        if receive_bytes is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        found.settimeout(PATIENCE_S)
        found.connect(api.address)
        yield found


def answer(connection: socket.socket) -> tuple[int, Any, Any]:
    """Status, fields and document of the next answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = connection.recv(1)
        assert received, head
        head += received
    line, _, rest = head.partition(b"\r\n")
    fields = parse_headers(BytesIO(rest))
    body = connection.recv(int(fields["Content-Length"]), socket.MSG_WAITALL)
    return int(line.split()[1]), fields, json.loads(body)


def refusal(connection: socket.socket) -> tuple[int, str]:
    """Status and code of a problem, after which the server closes the connection."""
    status, fields, problem = answer(connection)
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["Connection"] == "close"
    assert problem["status"] == status
    assert problem["request_id"] == fields["X-Request-Id"]
    assert is_closed(connection)
    return status, problem["code"]


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has ended the connection; waits until something comes."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def pour(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes."""
    with suppress(ConnectionError):
        connection.sendall(data)


def drip(connection: socket.socket, data: bytes) -> None:
    """Send so little that it is never idle, until the server says something or closes."""
    with suppress(ConnectionError):
        while not select.select([connection], [], [], 0.01)[0]:
            connection.sendall(data)


def post(api: Api, length: str, *, role: Role = Role.ADMIN) -> bytes:
    """The head of a call whose route waits for a body; the server says when it does."""
    key = api.keys[role][1]
    fields = f"Host: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n{length}"
    return f"POST /v1/events HTTP/1.1\r\n{fields}\r\nExpect: 100-continue\r\n\r\n".encode()


def go_on(connection: socket.socket) -> None:
    """Wait until a call is under way: its route waits for the body."""
    wanted = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.recv(len(wanted), socket.MSG_WAITALL) == wanted


@pytest.fixture
def calm(settings: Settings) -> Iterator[Api]:
    """A server that only ends what is too large or too much."""
    with open_api(settings.model_copy(update={"api_connections": 3}), patience=CALM) as found:
        yield found


@contextmanager
def hurried(settings: Settings, **seconds: float) -> Iterator[Api]:
    """A server that has so little patience with one thing, and much with all others."""
    with open_api(settings, patience=dataclasses.replace(CALM, **seconds)) as found:
        yield found


def half_open(api: Api, begin: bytes, more: bytes) -> tuple[int, str] | None:
    """How the server refuses a head that goes on like this; None if it was closed unbegun."""
    with dial(api) as connection, suppress(ConnectionError):
        pour(connection, begin)
        drip(connection, more)
        if connection.recv(1, socket.MSG_PEEK):
            return refusal(connection)
    return None


HEADS = {
    "a field": b"GET / HTTP/1.1\r\nX: " + b"a" * MIB,
    "a name": b"GET / HTTP/1.1\r\n" + b"a" * MIB,
    "a path": b"GET /" + b"a" * MIB,
    "fields": b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (HEAD_FIELDS + 2),
    "empty lines": b"\r\n" * MIB,
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_is_bounded_in_bytes(calm: Api, head: bytes) -> None:
    """Without a key 144 MB of it were taken; now the answer comes before its end does."""
    with dial(calm) as connection:
        pour(connection, head)
        assert refusal(connection) == (431, "head_too_large")
    assert calm.call("GET", "/healthz/live", role=None).status_code == 200


def test_a_head_within_the_bounds_is_read(calm: Api) -> None:
    """A long address, such as an expression's, and as many fields as proxies add."""
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 100) for number in range(HEAD_FIELDS - 1))
    with dial(calm) as connection:
        for _ in range(2):
            connection.sendall(b"GET /healthz/live?" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: a\r\n")
            connection.sendall(fields + b"\r\n")
            assert answer(connection)[0] == 200


@pytest.mark.parametrize("end", [b"X: " + b"a" * MIB, b"a:\r\n" * (HEAD_FIELDS + 2)])
def test_trailers_are_bounded_as_heads_are(calm: Api, end: bytes) -> None:
    """They come after the body, into the same memory."""
    with dial(calm) as connection:
        connection.sendall(post(calm, "Transfer-Encoding: chunked"))
        go_on(connection)
        pour(connection, b"1\r\n[\r\n0\r\n" + end)
        assert answer(connection)[0] == 431


@pytest.mark.parametrize(
    "begin", [b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_half_open_head_ends(settings: Settings, begin: bytes) -> None:
    """Whether its client is silent, or sends a byte now and then."""
    with hurried(settings, head=0.1) as api:
        for more in (b"", b"a"):
            # Again, if this machine took longer for the first byte than the server waits for it.
            found = eventually(partial(half_open, api, begin, more))
            assert found == (408, "head_too_slow")


def test_a_connection_that_asks_nothing_ends(settings: Settings) -> None:
    """Before its first call; empty lines are no call."""
    with hurried(settings, head=0.1) as api:
        for more in (b"", b"\r\n"):
            with dial(api) as connection:
                drip(connection, more)
                assert is_closed(connection)


def test_a_connection_that_asks_nothing_more_ends(settings: Settings) -> None:
    """After a call; empty lines are none."""
    with hurried(settings, idle=0.1) as api:
        for more in (b"", b"\r\n"):
            with dial(api) as connection:
                connection.sendall(LIVE)
                assert answer(connection)[0] == 200
                drip(connection, more)
                assert is_closed(connection)


def test_a_slow_body_is_refused(settings: Settings) -> None:
    """Its call has a key, and yet it doesn't wait for ever."""
    with (
        open_api(settings, patience=CALM, body_within_s=0.1) as api,
        dial(api) as connection,
    ):
        connection.sendall(post(api, "Content-Length: 10"))
        go_on(connection)
        pour(connection, b"[")
        assert refusal(connection) == (408, "body_too_slow")


def test_a_body_that_nobody_wants_ends(settings: Settings) -> None:
    """Its call is answered; what still comes is let in for a moment, so that it hears that."""
    with hurried(settings, rest=0.1) as api, dial(api) as connection:
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert answer(connection)[0] == 401
        drip(connection, b"a")
        assert is_closed(connection)


def test_half_open_connections_keep_nobody_out(calm: Api) -> None:
    """There are never more than so many; the one that has waited longest gives way."""
    half_open = []
    try:
        for _ in range(10):
            connection = socket.create_connection(calm.address, PATIENCE_S)
            connection.sendall(b"GET / HTTP/1.1\r\n")
            half_open.append(connection)
            assert calm.call("GET", "/healthz/live", role=None).status_code == 200
        assert all(is_closed(connection) for connection in half_open[:8])
        assert eventually(lambda: len(calm.state.connections) <= 3)
    finally:
        for connection in half_open:
            connection.close()


def test_beyond_the_connections_in_use_is_503(calm: Api) -> None:
    """A call that is under way gives way to nobody; the answer says when to try again."""
    calls = [socket.create_connection(calm.address, PATIENCE_S) for _ in range(3)]
    try:
        for connection in calls:
            connection.sendall(post(calm, "Content-Length: 2"))
            go_on(connection)
        with dial(calm) as connection:
            status, fields, problem = answer(connection)
            assert (status, problem["code"]) == (503, "too_many_connections")
            assert int(fields["Retry-After"]) > 0
            assert is_closed(connection)
        for connection in calls:
            connection.sendall(b"{}")
            assert answer(connection)[0] == 422
        assert calm.call("GET", "/healthz/live", role=None).status_code == 200
    finally:
        for connection in calls:
            connection.close()


def test_calls_sent_before_an_answer_are_bounded(calm: Api) -> None:
    """A few are answered; the last says that the client has to send the rest again."""
    with dial(calm) as connection:
        pour(connection, LIVE * 1_000)
        answers = [answer(connection)]
        while answers[-1][1].get("Connection") != "close":
            answers.append(answer(connection))
        assert {status for status, _, _ in answers} == {200}
        assert PIPELINED < len(answers) < 1_000
        assert is_closed(connection)


def test_an_answer_that_nobody_takes_ends(settings: Settings) -> None:
    """It would be held as long as its client likes."""
    text = json.dumps({"id": "e", "name": "n", "data": "x" * (512 * 1024 - 100)})
    with hurried(settings, taken=0.2) as api:
        add_runs(api.service, *(run_row(AT, number, event=text) for number in range(5)))
        fields = f"Host: a\r\nAuthorization: Bearer {api.keys[Role.VIEWER][1]}"
        call = f"GET /v1/runs HTTP/1.1\r\n{fields}\r\n\r\n".encode()
        with dial(api, receive_bytes=4096) as connection:
            connection.sendall(call * PIPELINED)
            eventually(lambda: api.state.total_requests)
            eventually(lambda: not api.state.connections)
        page = api.call("GET", "/metrics", role=None).text
    assert 'countermand_api_connections_ended_total{reason="answer_not_taken"} 1.0' in page


def test_what_is_no_http_is_a_problem(calm: Api) -> None:
    """As every other refusal; and no line of the log for each."""
    for text in (
        b"GARBAGE\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
    ):
        with dial(calm) as connection:
            connection.sendall(text)
            assert refusal(connection) == (400, "malformed_request")


def test_a_body_that_is_no_http_is_a_problem(calm: Api) -> None:
    """Its call has not been answered, so the problem is the answer."""
    with dial(calm) as connection:
        connection.sendall(post(calm, "Transfer-Encoding: chunked"))
        go_on(connection)
        connection.sendall(b"x\r\n")
        assert answer(connection)[0] == 400


def test_another_protocol_is_not_spoken(calm: Api) -> None:
    """The call is answered, and the connection ends: nothing more can be read from it."""
    with dial(calm) as connection:
        connection.sendall(LIVE[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + LIVE)
        status, fields, _ = answer(connection)
        assert (status, fields["Connection"]) == (200, "close")
        assert is_closed(connection)


def test_a_caller_who_goes_is_no_defect(calm: Api) -> None:
    """The audit trail says what became of the call, and the log has no error."""
    with dial(calm) as connection:
        connection.sendall(post(calm, "Content-Length: 10"))
        go_on(connection)
    outcome = eventually(lambda: [one["outcome"] for one in calm.get("/v1/audit")["data"]])
    assert outcome == ["caller_gone"]


def test_ended_connections_are_counted(calm: Api) -> None:
    """By reason, for who watches."""
    with dial(calm) as connection:
        connection.sendall(b"GARBAGE\r\n\r\n")
        refusal(connection)
    page = calm.call("GET", "/metrics", role=None).text
    assert 'countermand_api_connections_ended_total{reason="malformed_request"} 1.0' in page
