"""HTTP as anybody may speak it to the API, with or without a key: bounded in bytes, time, number.

Uvicorn takes a request's head into memory whatever its size, and waits for its end for ever, as for
a client that doesn't take its answer; its `limit_concurrency` refuses a call, but no connection. So
its protocol is extended here. A connection is under way while a call of it is being answered, and
waits otherwise. Whatever waits has a time to be over. Where there are too many connections, the one
that has waited longest gives way to a new one, so that half-open ones keep nobody out.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, Final

import httptools
from ulid_transform import ulid_now
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from streams import logs
from streams.api.problems import ProblemError, unavailable
from streams.metrics import Metrics

HEAD_BYTES: Final = 32 * 1024
HEAD_FIELDS: Final = 100
# Calls that wait until those before them on the same connection are answered.
PIPELINED: Final = 10
# Of an answer that its client doesn't take at once, so much must be taken in `Patience.taken`.
TAKEN_BYTES: Final = 64 * 1024
# So much of what was received is read before the bounds are looked at again.
_PIECE: Final = 4 * 1024

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may take, in seconds.

    Attributes:
        idle: Between two calls.
        head: For the head of a request, from its first byte; and for that first byte, at first.
        rest: For what is only read so that an answer arrives: a body that nobody wants, or what
            comes after a refusal.
        taken: For each 64 KiB of an answer.
    """

    idle: float = 5.0
    head: float = 10.0
    rest: float = 5.0
    taken: float = 30.0


USUAL: Final = Patience()


class _Part(Enum):
    """Which part of a request comes next."""

    BEGIN = auto()
    HEAD = auto()
    BODY = auto()


class _StopError(Exception):
    """Stops the parser from within."""


class Doors:
    """The connections of one server: how many there may be, and how long they may take."""

    def __init__(self, most: int, metrics: Metrics, patience: Patience = USUAL) -> None:
        """Let in `most` connections at once."""
        self.patience = patience
        self._most = most
        self._metrics = metrics
        self._limiter = logs.Limiter()
        # Those that wait, the longest first.
        self._waiting: dict[BoundedProtocol, None] = {}

    def make_room(self, connections: int) -> bool:
        """Whether there is room for the newest of so many; another may have to go for it."""
        if connections <= self._most:
            return True
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.give_way()
        return True

    def wait(self, connection: "BoundedProtocol") -> None:
        """No call of this connection is being answered from now on."""
        self._waiting[connection] = None

    def leave(self, connection: "BoundedProtocol") -> None:
        """This connection waits no longer."""
        self._waiting.pop(connection, None)

    def ended(self, reason: str, client: tuple[str, int] | None) -> None:
        """Count a connection that the server ended; a line in the log once a minute and reason."""
        self._metrics.api_connections_ended.labels(reason).inc()
        suppressed = self._limiter.admit(reason)
        if suppressed is not None:
            address = None if client is None else client[0]
            log.warning(
                "A connection was ended", reason=reason, client=address, suppressed=suppressed
            )


def protocol_of(doors: Doors) -> type["BoundedProtocol"]:
    """The protocol of a server behind these doors; uvicorn makes one of it per connection."""
    return type("Protocol", (BoundedProtocol,), {"doors": doors})


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    doors: ClassVar[Doors]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._part = _Part.BEGIN
        # Bytes since the last byte of a body: of heads, sizes of chunks, trailers.
        self._framing = 0
        # Fields of the head, and trailers.
        self._fields = 0
        # Calls that aren't answered yet.
        self._calls = 0
        # What still comes is of no interest.
        self._is_deaf = False
        self._problem: ProblemError | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def give_way(self) -> None:
        """End at once, for another connection."""
        self.doors.ended("gave_way", self.client)
        self.transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a connection in, or turn it away."""
        super().connection_made(transport)
        if self.doors.make_room(len(self.connections)):
            self._wait(self.doors.patience.head)
            return
        detail = "All connections are in use (COUNTERMAND_API_CONNECTIONS): try again"
        problem = unavailable("too_many_connections", detail)
        self._is_deaf = True
        self.doors.ended(problem.code, self.client)
        self._write(problem)
        self._close()

    def data_received(self, data: bytes) -> None:
        """Read what came, as far as the bounds allow."""
        self._unset_keepalive_if_required()
        begin = 0
        while begin < len(data) and not self._is_deaf:
            end = begin + min(_PIECE, HEAD_BYTES - self._framing)
            if end == begin:
                self._refuse(_head_too_large())
            else:
                self._read(data[begin:end])
            begin = end

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self.doors.leave(self)
        for timer in (self._deadline, self._taking):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """See to it that the client takes its answer."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The client has taken most of it."""
        super().resume_writing()
        if self.transport.is_closing():
            self._watch()  # also the last of it
        elif self._taking is not None:
            self._taking.cancel()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._calls > PIPELINED:
            # The client sends the rest again, since the last one's answer says `close`.
            self.cycle.keep_alive = False
            self._is_deaf = True
            raise _StopError
        super().on_message_begin()
        self._part = _Part.HEAD
        self._framing = self._fields = 0
        if not self._calls:
            self._end_within(self.doors.patience.head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer."""
        self._fields += 1
        if self._fields > HEAD_FIELDS:
            self._problem = _head_too_large()
            raise _StopError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A call can be answered: from here on, its route bounds what it takes."""
        super().on_headers_complete()
        self._part = _Part.BODY
        self._calls += 1
        self.doors.leave(self)
        self._end_within(None)

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request ends."""
        super().on_message_complete()
        self._part = _Part.BEGIN
        if not self._calls:
            self._wait(self.doors.patience.idle)

    # What a call tells.

    def on_response_complete(self) -> None:
        """A call was answered."""
        self._calls -= 1
        super().on_response_complete()
        patience = self.doors.patience
        if self.transport.is_closing():
            self._watch()
        elif not self._calls:
            within_s = {
                _Part.BEGIN: patience.idle,
                _Part.HEAD: patience.head,
                _Part.BODY: patience.rest,
            }
            self._wait(within_s[self._part])

    @property
    def _may_answer(self) -> bool:
        """Whether what is written now can't be taken for the answer to another call."""
        if self.transport.is_closing():
            return False
        if self._part is not _Part.BODY:
            return not self._calls
        return self._calls == 1 and not self.cycle.response_started

    def _read(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Answered as if it hadn't asked for another protocol; the parser reads no further.
            self.cycle.keep_alive = False
            self._is_deaf = True
        except httptools.HttpParserError:
            if not self._is_deaf:
                self._refuse(self._problem or _malformed())
        self._framing += len(piece)

    def _refuse(self, problem: ProblemError) -> None:
        """Answer with a problem, if it can be told, and read on until the client has it."""
        self._is_deaf = True
        self.doors.ended(problem.code, self.client)
        if not self._may_answer:
            self.transport.abort()
            return
        if self._calls:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._write(problem)
        self.transport.write_eof()
        self.doors.wait(self)
        self._end_within(self.doors.patience.rest)

    def _write(self, problem: ProblemError) -> None:
        http_id = ulid_now()
        answer = problem.answer("", http_id)
        fields = [
            *answer.raw_headers,
            (b"x-request-id", http_id.encode()),
            (b"connection", b"close"),
        ]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.transport.write(STATUS_LINE[problem.status] + head + b"\r\n" + bytes(answer.body))

    def _wait(self, within_s: float) -> None:
        self.doors.wait(self)
        self._end_within(within_s)

    def _end_within(self, seconds: float | None) -> None:
        """End what goes on after so many seconds; None: never."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._is_deaf:
            self.transport.abort()
        elif self._part is _Part.HEAD:
            detail = f"The head of the request didn't come within {self.doors.patience.head:.0f} s"
            self._refuse(ProblemError(HTTPStatus.REQUEST_TIMEOUT, "head_too_slow", detail))
        else:
            self._close()

    def _close(self) -> None:
        """Close once the client has taken what was written for it."""
        self.transport.close()
        self._watch()

    def _watch(self) -> None:
        """Abort unless the client takes its answer, however slowly it does."""
        if self._taking is not None:
            self._taking.cancel()
        untaken = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.doors.patience.taken, self._look, untaken)

    def _look(self, untaken: int) -> None:
        if self.transport.get_write_buffer_size() > untaken - TAKEN_BYTES:
            self.doors.ended("answer_not_taken", self.client)
            self.transport.abort()
        else:
            self._watch()


def _head_too_large() -> ProblemError:
    detail = f"The head of a request has at most {HEAD_BYTES} bytes and {HEAD_FIELDS} fields"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return ProblemError(status, "head_too_large", detail)


def _malformed() -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, "malformed_request", "This is no HTTP request")
