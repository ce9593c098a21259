"""Reads records of inputs as events: plain JSON, CloudEvents, and users' topics by a mapping.

For a record that is no event, readers return the reason; they never raise.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import structs

from streams.router import cloud_events, documents
from streams.router.record import Document, Event, Record, RejectedError, Rejection, identity_of
from streams.settings.values import InputSpec, NameMapping
from topology import limits
from topology.keys import TIME_END_MS

Reader: TypeAlias = Callable[[Record], Event | Rejection | None]
_WHOLE: Final = "$"


def reader(mapping: InputSpec, limit: int = limits.EVENT_BYTES) -> Reader:
    """The function that reads the records of an input; an event has at most `limit` bytes."""
    if mapping.name is not None:
        return _mapped(mapping, mapping.name, limit)

    def read(record: Record) -> Event | Rejection:
        return read_plain(record, limit) if record.headers is None else read_event(record, limit)

    return read


def cancelled_reader(limit: int = limits.EVENT_BYTES) -> Reader:
    """The function that reads `function.cancelled` events; those of runs whose event has `limit`.

    Such a record is a whole event in plain JSON, though its headers are those of a binary
    CloudEvent. It has the run's event twice, in `data.event` and alone in `data.events`: where both
    are more than an event may have, the second is left out.
    """

    def read(record: Record) -> Event | Rejection:
        found = read_plain(record, 2 * limit + limits.ENVELOPE_BYTES)
        if isinstance(found, Rejection) or len(found.body) <= limit:
            return found
        data = {name: value for name, value in found.document["data"].items() if name != "events"}
        document = found.document | {"data": data}
        try:
            body = documents.dump(document, limit + limits.ENVELOPE_BYTES)
        except RejectedError as rejected:
            return rejected.rejection
        return structs.replace(found, document=document, body=body)

    return read


def read_event(record: Record, limit: int = limits.EVENT_BYTES) -> Event | Rejection:
    """Read a record that is an event already: plain JSON, or a CloudEvent of either form."""
    if record.headers is None:
        return read_plain(record, limit)
    try:
        if cloud_events.is_structured(record.headers):
            return cloud_events.read_structured(record, limit)
        if cloud_events.is_binary(record.headers):
            return cloud_events.read_binary(record, limit)
    except RejectedError as rejected:
        return rejected.rejection
    return read_plain(record, limit)


def read_plain(record: Record, limit: int = limits.EVENT_BYTES) -> Event | Rejection:
    """Read a record that is plain JSON, whatever its headers say."""
    try:
        value = record.value
        document = documents.load(value, limit)
        name = document.get("name")
        id_ = document.get("id")
        ts = document.get("ts")
        # The usual event is complete: its bytes are passed on as they are.
        if (
            type(name) is str
            and 0 < len(name) <= limits.EVENT_NAME_CHARS
            and type(id_) is str
            and 0 < len(id_) <= limits.EVENT_ID_CHARS
            and type(ts) is int
            and 0 <= ts < TIME_END_MS
            and type(document.get("data")) is dict
        ):
            assert value is not None, "a document was read from it"
            return Event(name, id_, ts, document, value)
        return _completed(record, document, limit)
    except RejectedError as rejected:
        return rejected.rejection


def default_id(record: Record) -> str:
    """The id of an event without one: its position, which is the same whenever it is read."""
    return f"{record.topic}-{record.partition}-{record.offset}"


def _completed(record: Record, document: Document, limit: int) -> Event:
    """The event with the parts that it lacks: data, id or ts."""
    name = documents.name(document.get("name"))
    own_id, ts = document.get("id"), document.get("ts")
    document["data"] = documents.data(document.get("data"))
    document["id"] = id_ = default_id(record) if own_id is None else documents.event_id(own_id)
    document["ts"] = ts = record.received if ts is None else documents.time_ms(ts)
    body = documents.dump(document, limit)
    return Event(name, id_, ts, document, body, id_of_place=own_id is None)


def _mapped(mapping: InputSpec, names: NameMapping, limit: int) -> Reader:
    name_of = _name_reader(names)
    data_at, id_at, user_at = _path(mapping.data), _path(mapping.id), _path(mapping.user)
    source_at = _path(mapping.source)

    def read(record: Record) -> Event | Rejection | None:
        if record.value is None:
            return None  # a tombstone of a compacted topic is no event
        if record.headers and identity_of(record.headers):
            return read_plain(record, limit)  # a joiner's dead letter, sent again, is an event
        try:
            whole = documents.load(record.value, limit)
            name = documents.name(name_of(record, whole))
            document: Document = {
                "name": name,
                "data": documents.data(_dig(whole, data_at)),
                "id": default_id(record) if id_at is None else _mapped_id(whole, id_at),
                "ts": record.received,
            }
            if user_at is not None:
                document["user"] = _dig(whole, user_at)
            source = documents.source(_as_text(_dig(whole, source_at))) if source_at else ""
            body = documents.dump(document, limit)
        except RejectedError as rejected:
            return rejected.rejection
        id_ = document["id"]
        return Event(name, id_, record.received, document, body, source, id_at is None)

    return read


def _name_reader(names: NameMapping) -> Callable[[Record, Document], object]:
    if names.const is not None:
        const = names.const
        return lambda _record, _document: const
    if names.field is not None:
        path = _path(names.field)
        return lambda _record, document: _dig(document, path)
    header = names.header
    assert header is not None, "a mapping names one of const, field and header"
    return lambda record, _document: _header(record, header)


def _header(record: Record, name: str) -> str | None:
    for header, value in record.headers or ():
        if header == name and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise RejectedError("bad_header", f"header {name} is no UTF-8") from None
    return None


def _mapped_id(whole: Document, path: tuple[str, ...]) -> str:
    return documents.event_id(_as_text(_dig(whole, path)))


def _as_text(value: object) -> object:
    """A number as text: ids in users' own topics are often numbers."""
    return str(value) if type(value) is int else value


def _path(dotted: str | None) -> tuple[str, ...] | None:
    if dotted is None:
        return None
    if dotted == _WHOLE:
        return ()
    return tuple(dotted.removeprefix(_WHOLE + ".").split("."))


def _dig(value: object, path: tuple[str, ...] | None) -> object:
    """The value at a path; None where there is none."""
    for segment in path or ():
        if type(value) is not dict:
            return None
        value = value.get(segment)
    return value
