"""Events as Inngest's SDKs send them, and as they lie in the topic `events`."""

import base64
import binascii
from typing import Any, Final

import msgspec
from ulid_transform import bytes_to_ulid, ulid_now, ulid_to_bytes

from streams.api.routes.events import read_event
from streams.router.record import Rejection
from topology import keys, limits
from topology.records import Json

# As many as Inngest takes.
MOST: Final = 5_000
_OWN: Final = "inngest/"
# A clock that is ahead by no more than this delays nothing: SDKs send their own time.
_AHEAD_MS: Final = limits.MINUTE_MS
_RANDOM_BYTES: Final = 10
_MS_CHARS: Final = 15


class EventsError(ValueError):
    """The body of a call has no events, or a wrong one."""


class Seed:
    """Makes the ids of events that have none: the same when an SDK repeats its call."""

    def __init__(self, header: str) -> None:
        """`header` is `<ms>,<10 bytes in base64>`; anything else is as if there were none."""
        at, _, random = header.partition(",")
        try:
            entropy = base64.b64decode(random, validate=True)
        except (binascii.Error, ValueError):
            entropy = b""
        good = at.isdecimal() and len(at) <= _MS_CHARS and int(at) < keys.TIME_END_MS
        if good and len(entropy) == _RANDOM_BYTES:
            self._begin = int(at).to_bytes(6, "big") + entropy
        else:
            self._begin = ulid_to_bytes(ulid_now())

    def id_of(self, index: int) -> str:
        """The id of the event in this place of a call."""
        time, random = self._begin[:6], int.from_bytes(self._begin[6:], "big") + index
        return bytes_to_ulid(time + (random % (1 << 80)).to_bytes(_RANDOM_BYTES, "big"))


def read_events(body: bytes, seed: Seed, now_ms: int) -> list[tuple[str, bytes]]:
    """The id and the record of each event of a call: of a list, or of one alone.

    Raises:
        EventsError: One is wrong; none is to be sent.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventsError(f"the body is no JSON: {error}") from error
    events = found if isinstance(found, list) else [found]
    if not 0 < len(events) <= MOST:
        raise EventsError(f"send 1 to {MOST} events per call, not {len(events)}")
    return [_read(event, index, seed, now_ms) for index, event in enumerate(events)]


def _read(event: Json, index: int, seed: Seed, now_ms: int) -> tuple[str, bytes]:
    if isinstance(event, dict):
        name = event.get("name")
        if isinstance(name, str) and name.startswith(_OWN):
            raise EventsError(f"event {index}: names that begin with {_OWN} are reserved")
        event = _mended(event, now_ms)
    read = read_event(event, seed.id_of(index), now_ms)
    if isinstance(read, Rejection):
        raise EventsError(f"event {index}: {read.message}")
    return read


def _mended(event: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """The event without what is of Inngest's own, and with no time that is ahead by a bit."""
    data, at = event.get("data"), event.get("ts")
    mended = {name: value for name, value in event.items() if value is not None}
    if isinstance(data, dict) and "_inngest" in data:
        mended["data"] = {name: value for name, value in data.items() if name != "_inngest"}
    if isinstance(at, int) and now_ms < at <= now_ms + _AHEAD_MS:
        mended["ts"] = now_ms
    return mended
