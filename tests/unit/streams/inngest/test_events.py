"""Events as SDKs send them, and the records that they become."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inngest.events import MOST, EventsError, Seed, read_events
from topology import limits

NOW = 1_800_000_000_000
NONE = Seed("")
SEED = f"{NOW},{base64.b64encode(bytes(10)).decode()}"


def read(*events: Any, seed: Seed = NONE) -> list[dict[str, Any]]:
    """The records of a list."""
    found = read_events(orjson.dumps(list(events)), seed, NOW)
    values = [orjson.loads(value) for _, value in found]
    assert [value["id"] for value in values] == [id_ for id_, _ in found]
    return values


def test_one_event_and_several() -> None:
    """SDKs send a list; a script may send one event."""
    assert read_events(b'{"name":"a/b","data":{}}', NONE, NOW)[0][1].startswith(b'{"name":"a/b"')
    assert [event["name"] for event in read({"name": "a"}, {"name": "b"})] == ["a", "b"]


def test_what_sdks_add_is_kept_or_dropped() -> None:
    """`v`, `user` and `meta` stay; what is Inngest's own in the data goes; null is absent."""
    (event,) = read(
        {"name": "a", "data": {"x": 1, "_inngest": {}}, "v": "2", "user": {"id": 1}, "id": None}
    )
    assert (event["data"], event["v"], event["user"]) == ({"x": 1}, "2", {"id": 1})
    assert len(event["id"]) == 26


def test_a_clock_that_is_ahead_delays_nothing() -> None:
    """By up to a minute; a later time is meant."""
    minute, later = NOW + limits.MINUTE_MS, NOW + limits.MINUTE_MS + 1
    found = read({"name": "a", "ts": minute}, {"name": "a", "ts": later}, {"name": "a", "ts": 5})
    assert [event["ts"] for event in found] == [NOW, later, 5]


def test_a_repeated_call_has_the_same_ids() -> None:
    """By the seed and the place; an event's own id wins."""
    events = [{"name": "a"}, {"name": "b", "id": "mine"}, {"name": "c"}]
    first, again = read(*events, seed=Seed(SEED)), read(*events, seed=Seed(SEED))
    assert first == again
    ids = [event["id"] for event in first]
    assert ids[1] == "mine"
    assert len(set(ids)) == 3
    assert read(*events)[0]["id"] != ids[0]


@given(st.text() | st.from_regex(r"[0-9]{1,20},[A-Za-z0-9+/=]{0,20}", fullmatch=True))
def test_any_seed_gives_ids(header: str) -> None:
    """A header that is none is as if it were missing."""
    seed = Seed(header)
    assert len({seed.id_of(index) for index in range(3)}) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no JSON"),
        (b"name=a", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", f"1 to {MOST}"),
        (b'[{"name":"a"},{"name":"inngest/x"}]', "event 1: names that begin with inngest/"),
        (b'[{"name":""}]', "event 0"),
        (b'[{"name":"a","data":[]}]', "event 0"),
        (b"[1]", "event 0"),
        (b'[{"name":"a","ts":-1}]', "event 0"),
        (b'[{"name":"a","data":{"n":123456789012345678901234567890}}]', "event 0"),
    ],
)
def test_wrong_events(body: bytes, says: str) -> None:
    """Nothing of the call is sent, and the message says which event is wrong."""
    with pytest.raises(EventsError, match=says):
        read_events(body, NONE, NOW)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_any_body_is_read_or_refused(body: Any) -> None:
    """Nothing else is raised."""
    data = (
        body if isinstance(body, bytes) else orjson.dumps(body, default=str) if _fits(body) else b""
    )
    found: object = None
    try:
        found = read_events(data, NONE, NOW)
    except EventsError as error:
        found = str(error)
    assert found


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
