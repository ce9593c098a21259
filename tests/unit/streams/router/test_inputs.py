"""What the records of inputs become: events in any of the accepted forms, or reasons."""

import json
from typing import Any

import orjson
import pytest

from streams.router.documents import NESTING
from streams.router.inputs import cancelled_reader, read_event, read_plain, reader
from streams.router.record import Event, Record, RecordHeaders, Rejection
from streams.settings.values import InputSpec
from topology import limits

RECEIVED = 1_732_570_023_717
STRUCTURED: RecordHeaders = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def record(value: object, headers: RecordHeaders | None = None) -> Record:
    """A record at events/2/17 whose value is some bytes, or something as JSON."""
    data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Record("events", 2, 17, RECEIVED, b"key", data, headers)


def event(value: object, headers: RecordHeaders | None = None) -> Event:
    """The event of a record, which must be one."""
    found = read_event(record(value, headers))
    assert isinstance(found, Event), found
    assert orjson.loads(found.body) == found.document
    return found


def kind(value: object, headers: RecordHeaders | None = None) -> str:
    """Why a record is refused."""
    found = read_event(record(value, headers))
    assert isinstance(found, Rejection), found
    assert found.message
    return found.kind


def full(**changes: Any) -> dict[str, Any]:
    """An event with all that it needs."""
    return {"name": "placed", "data": {"a": 1}, "id": "e1", "ts": 5} | changes


def mapped(value: object, headers: RecordHeaders | None = None, **mapping: Any) -> Any:
    """What a mapping makes of a record."""
    spec = InputSpec.model_validate({"topic": "orders", **mapping})
    return reader(spec)(record(value, headers))


def test_complete_event_is_passed_on_untouched() -> None:
    """The bytes of an event that has id and ts are those that its producer wrote."""
    raw = b' {"id" : "e1","ts":5,  "name":"placed","data":{"x":1.50},"extra":[1]} '
    found = event(raw)
    assert found.body is not None
    assert found.body == raw
    assert (found.name, found.id, found.ts) == ("placed", "e1", 5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "placed"}, {"data": {}, "id": "events-2-17", "ts": RECEIVED}),
        (
            {"name": "placed", "data": None, "id": None, "ts": None},
            {"data": {}, "id": "events-2-17", "ts": RECEIVED},
        ),
        (full(ts="2024-11-25T21:27:03.717Z"), {"ts": RECEIVED}),
        (full(ts="2024-11-25t22:27:03.7179+01:00"), {"ts": RECEIVED}),
        (full(ts="2016-12-31T23:59:60.5Z"), {"ts": 1_483_228_799_500}),
        (full(user={"id": 1}, v="2"), {"user": {"id": 1}, "v": "2"}),
        ({"name": "placed", "user": None, "extra": [1]}, {"user": None, "extra": [1]}),
    ],
)
def test_event_is_completed(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is missing is filled in, the rest stays; the default id is the record's place."""
    assert {**given, **expected}.items() <= event(given).document.items()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "no_value"),
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"{", "not_json"),
        (b'{"name":"a","data":{"x":NaN}}', "not_json"),
        (b'{"name":"a","data":{"x":1e400}}', "not_json"),
        (b'{"name":"a","data":{"x":"\\ud800"}}', "not_json"),
        (b'{"name":"a\xed\xa0\x80"}', "not_json"),
        (b'\xef\xbb\xbf{"name":"a"}', "not_json"),
        (b'[{"name":"a"}]', "not_an_object"),
        (b'"name"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"1", "not_an_object"),
        ({}, "no_name"),
        (full(name=""), "no_name"),
        (full(name=None), "no_name"),
        (full(name=7), "no_name"),
        (full(name=["a"]), "no_name"),
        (full(name="n" * 257), "name_too_long"),
        (full(data=[]), "data_not_an_object"),
        (full(data="x"), "data_not_an_object"),
        (full(data=0), "data_not_an_object"),
        (full(id=7), "bad_id"),
        (full(id=""), "bad_id"),
        (full(id="i" * 257), "bad_id"),
        (full(ts=1.5), "bad_ts"),
        (full(ts=5.0), "bad_ts"),
        (full(ts=True), "bad_ts"),
        (full(ts=-1), "bad_ts"),
        (full(ts=2**48), "bad_ts"),
        (full(ts="now"), "bad_ts"),
        (full(ts="2024-11-25"), "bad_ts"),
        (full(ts="2024-13-25T00:00:00Z"), "bad_ts"),
        (full(ts="2024-11-25T00:00:00"), "bad_ts"),
        (full(ts="1969-12-31T23:59:59Z"), "bad_ts"),
        (full(ts={}), "bad_ts"),
    ],
)
def test_record_is_refused(value: object, expected: str) -> None:
    """Each kind of bad record has its reason."""
    assert kind(value) == expected


@pytest.mark.parametrize(
    "digits",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "-18446744073709551616",
        "1" * 300,
    ],
)
@pytest.mark.parametrize("shape", ['{"n":%s}', '{"n": %s }', '{"n":[1, %s]}', '{"n":{"m":\n%s}}'])
def test_integer_beyond_64_bits_is_refused(digits: str, shape: str) -> None:
    """An integer that would become a double without a word is refused instead."""
    assert kind(b'{"name":"a","data":%s}' % (shape % digits).encode()) == "integer_too_large"


@pytest.mark.parametrize(
    "data",
    [
        {"n": 2**63 - 1},
        {"n": -(2**63)},
        {"n": "18446744073709551616"},
        {"n": ":18446744073709551616,"},
        {"n": 12345678901234567890.5},
        {"18446744073709551616": 1},
        {"n": 0.12345678901234567890123},
        {"n": 1e300},
    ],
)
def test_long_digits_that_fit_are_taken(data: dict[str, Any]) -> None:
    """Digits in strings, in fractions and up to 64 bits are no reason to refuse."""
    assert event(full(data=data)).document["data"] == data


def test_size_limit_is_exact() -> None:
    """An event of the largest size is taken, one byte more is refused."""
    empty = len(json.dumps(full(data={"x": ""})))
    fits = full(data={"x": "x" * (limits.EVENT_BYTES - empty)})
    assert len(event(fits).body) == limits.EVENT_BYTES
    fits["data"]["x"] += "x"
    assert kind(fits) == "too_large"


def test_lowered_size_limit_holds_for_what_is_added_too() -> None:
    """An event that only id and ts make too large is refused: it is carried with them."""
    value = {"name": "placed", "data": {"x": "x" * 60}}
    found = read_plain(record(value), limit=100)
    assert isinstance(found, Rejection)
    assert found.kind == "too_large"


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_deep_nesting_is_refused(opening: str) -> None:
    """What most parsers would choke on later is refused at the door."""
    closing = "}" if opening.startswith("{") else "]"

    def nested(levels: int) -> bytes:
        inner = opening * levels + "1" + closing * levels
        return b'{"name":"a","id":"e","ts":1,"data":{"x":%s}}' % inner.encode()

    assert kind(nested(NESTING)) == "too_deep"
    assert kind(nested(1_000)) == "too_deep"
    assert event(nested(NESTING - 2)).name == "a"
    assert event(full(data={"x": [[]] * NESTING * 2})).name == "placed"


def test_structured_cloud_event() -> None:
    """type, id and time become name, id and ts; the other attributes are kept beside."""
    given = {
        "specversion": "1.0", "type": "placed", "source": "/shop", "id": "c1", "subject": "o1",
        "time": "2024-11-25T21:27:03.717Z", "data": {"a": 1}, "myext": "x",
    }  # fmt: skip
    assert event(given, STRUCTURED).document == {
        "name": "placed", "data": {"a": 1}, "id": "c1", "ts": RECEIVED,
        "cloudevent": {"specversion": "1.0", "source": "/shop", "subject": "o1", "myext": "x"},
    }  # fmt: skip


def test_binary_cloud_event() -> None:
    """In binary mode the headers are the attributes and the value is the data."""
    headers: RecordHeaders = [
        ("ce_specversion", b"1.0"), ("ce_type", b"placed"), ("ce_source", b"/shop"),
        ("ce_id", b"c1"), ("content-type", b"application/json"), ("trace", b"t"),
    ]  # fmt: skip
    assert event({"a": 1}, headers).document == {
        "name": "placed", "data": {"a": 1}, "id": "c1", "ts": RECEIVED,
        "cloudevent": {"specversion": "1.0", "source": "/shop"},
    }  # fmt: skip
    assert event(None, headers).document["data"] == {}
    leap: RecordHeaders = [*headers, ("ce_time", b"2016-12-31T23:59:60Z")]
    assert event(None, leap).document["ts"] == 1_483_228_799_000


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        ({"type": "a"}, STRUCTURED, "bad_id"),
        ({"id": "a"}, STRUCTURED, "no_name"),
        ({"type": "a", "id": "b", "specversion": "0.3"}, STRUCTURED, "content_type"),
        ({"type": "a", "id": "b", "data": "text"}, STRUCTURED, "data_not_an_object"),
        ({"type": "a", "id": "b", "data_base64": "AA=="}, STRUCTURED, "data_not_an_object"),
        ({"type": "a", "id": "b", "time": "yesterday"}, STRUCTURED, "bad_ts"),
        ([], [("Content-Type", b"application/cloudevents-batch+json")], "content_type"),
        (b"\x00", [("content-type", b"application/cloudevents+avro")], "content_type"),
        ({}, [("ce_type", b"a")], "bad_id"),
        ({}, [("ce_type", b"a\xff"), ("ce_id", b"b")], "bad_header"),
        ([1], [("ce_type", b"a"), ("ce_id", b"b")], "not_an_object"),
        (b"<a/>", [("ce_type", b"a"), ("ce_id", b"b"), ("content-type", b"text/xml")],
         "content_type"),
    ],
)  # fmt: skip
def test_bad_cloud_event_is_refused(value: object, headers: RecordHeaders, expected: str) -> None:
    """A CloudEvent that can't be an event has its reason too."""
    assert kind(value, headers) == expected


def test_headers_that_are_no_cloud_event_change_nothing() -> None:
    """Plain JSON may have any headers."""
    headers: RecordHeaders = [("content-type", b"application/json"), ("x", None), ("y", b"\xff")]
    assert event(full(), headers).document == full()


def test_own_cancelled_events_are_plain() -> None:
    """They have CloudEvents headers beside a whole event, so their topic is read as plain JSON."""
    headers: RecordHeaders = [("ce_type", b"function.cancelled"), ("ce_id", b"r1")]
    found = cancelled_reader()(record(full(name="function.cancelled"), headers))
    assert isinstance(found, Event)
    assert found.document == full(name="function.cancelled")


def cancelled(size: int) -> bytes:
    """A cancelled event of a run whose event has so many bytes, as joiners write it."""
    inner = {"name": "report/requested", "id": "e", "ts": 1, "data": {"fill": ""}}
    inner["data"] = {"fill": "x" * (size - len(orjson.dumps(inner)))}
    assert len(orjson.dumps(inner)) == size
    data = {"function_id": "a-b", "run_id": "r", "event": inner, "events": [inner], "run": {}}
    return orjson.dumps(full(name="function.cancelled", data=data))


def test_cancelled_events_of_large_events_are_read() -> None:
    """They have the run's event twice: of a large one the second is left out."""
    small = cancelled_reader()(record(orjson.loads(cancelled(1_000))))
    assert isinstance(small, Event)
    assert small.document["data"]["events"] == [small.document["data"]["event"]]
    value = cancelled(limits.EVENT_BYTES)
    large = cancelled_reader()(record(orjson.loads(value)))
    assert isinstance(large, Event)
    assert large.document == orjson.loads(large.body)
    assert large.document["data"].keys() == {"function_id", "run_id", "event", "run"}
    assert large.document["data"]["event"] == orjson.loads(value)["data"]["event"]
    assert len(large.body) <= limits.EVENT_BYTES + limits.ENVELOPE_BYTES


def test_a_cancelled_event_that_is_larger_than_joiners_write_is_refused() -> None:
    """As any event that is too large."""
    found = cancelled_reader()(record(orjson.loads(cancelled(2 * limits.EVENT_BYTES))))
    assert isinstance(found, Rejection)
    assert found.kind == "too_large"


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        (
            {"name": {"const": "order/created"}},
            {"name": "order/created", "data": {"kind": "k", "order": {"no": 7, "by": "u"}},
             "id": "events-2-17", "ts": RECEIVED},
        ),
        (
            {"name": {"field": "kind"}, "data": "order", "id": "order.no", "user": "order.by"},
            {"name": "k", "data": {"no": 7, "by": "u"}, "id": "7", "ts": RECEIVED, "user": "u"},
        ),
        (
            {"name": {"header": "kind"}, "data": "$.order", "id": "$.order.by"},
            {"name": "from header", "data": {"no": 7, "by": "u"}, "id": "u", "ts": RECEIVED},
        ),
        (
            {"name": {"const": "a"}, "data": "nothing.here", "user": "neither"},
            {"name": "a", "data": {}, "id": "events-2-17", "ts": RECEIVED, "user": None},
        ),
    ],
)  # fmt: skip
def test_mapping_makes_events(mapping: dict[str, Any], expected: dict[str, Any]) -> None:
    """A user's own topic gives events by its mapping, whatever its records look like."""
    value = {"kind": "k", "order": {"no": 7, "by": "u"}}
    found = mapped(value, [("kind", b"from header")], **mapping)
    assert isinstance(found, Event), found
    assert found.document == expected
    assert orjson.loads(found.body) == expected


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"name": {"field": "nothing"}}, "no_name"),
        ({"name": {"header": "nothing"}}, "no_name"),
        ({"name": {"header": "bad"}}, "bad_header"),
        ({"name": {"const": "a"}, "data": "text"}, "data_not_an_object"),
        ({"name": {"const": "a"}, "id": "nothing"}, "bad_id"),
        ({"name": {"const": "a"}, "id": "list"}, "bad_id"),
    ],
)
def test_mapping_that_finds_nothing_refuses(mapping: dict[str, Any], expected: str) -> None:
    """A record in which a mapping doesn't find what it names goes to the dead letters."""
    found = mapped({"text": "x", "list": [1]}, [("bad", b"\xff")], **mapping)
    assert isinstance(found, Rejection)
    assert found.kind == expected


def test_mapped_tombstone_says_nothing() -> None:
    """A compacted topic's tombstone is neither an event nor a mistake."""
    assert mapped(None, name={"const": "a"}) is None
