"""Reads CloudEvents 1.0: structured (one JSON object) and binary (attributes in `ce_` headers).

The attribute `type` becomes the event's name, `id` its id and `time` its ts; the other attributes
are kept under `cloudevent`.
"""

from typing import Final

from streams.router import documents
from streams.router.record import Document, Event, Record, RecordHeaders, RejectedError

_STRUCTURED: Final = "application/cloudevents+json"
_FAMILY: Final = "application/cloudevents"
_PREFIX: Final = "ce_"
# Attributes that become parts of the event itself.
_MOVED: Final = frozenset({"type", "id", "time", "data"})


def is_structured(headers: RecordHeaders) -> bool:
    """Whether the value is a whole CloudEvent.

    Raises:
        RejectedError: the CloudEvent has a form that isn't read, such as a batch or Avro.
    """
    content_type = _content_type(headers)
    if content_type.startswith(_FAMILY) and content_type != _STRUCTURED:
        message = f"content type {content_type}: of CloudEvents only {_STRUCTURED} is read"
        raise RejectedError("content_type", message)
    return content_type == _STRUCTURED


def is_binary(headers: RecordHeaders) -> bool:
    """Whether the headers are a CloudEvent's attributes."""
    return any(name.lower() == "ce_type" for name, _ in headers)


def read_structured(record: Record, limit: int) -> Event:
    """The event of a structured CloudEvent; `limit` is its largest size in bytes.

    Raises:
        RejectedError: the value is no such CloudEvent.
    """
    attributes = documents.load(record.value, limit)
    if "data_base64" in attributes:
        raise RejectedError("data_not_an_object", "data_base64: data as a JSON object is needed")
    return _event(attributes, documents.data(attributes.get("data")), record.received, limit)


def read_binary(record: Record, limit: int) -> Event:
    """The event of a binary CloudEvent, whose value is the data; `limit` as above.

    Raises:
        RejectedError: headers and value are no such CloudEvent.
    """
    headers = record.headers or []
    content_type = _content_type(headers)
    if content_type and not _is_json(content_type):
        raise RejectedError("content_type", f"content type {content_type}: data as JSON is needed")
    attributes: Document = {
        name.lower().removeprefix(_PREFIX): _text(name, value)
        for name, value in headers
        if name.lower().startswith(_PREFIX) and value is not None
    }
    data = documents.load(record.value, limit) if record.value else {}
    return _event(attributes, data, record.received, limit)


def source_of(document: Document) -> str:
    """The source of an event that was read as a CloudEvent; empty where it was none."""
    attributes = document.get("cloudevent")
    source = attributes.get("source") if isinstance(attributes, dict) else None
    return source if isinstance(source, str) else ""


def _event(attributes: Document, data: Document, received: int, limit: int) -> Event:
    version = attributes.get("specversion", "1.0")
    if version != "1.0":
        message = f"a CloudEvent of version {str(version)[:16]}: 1.0 is needed"
        raise RejectedError("content_type", message)
    name = documents.name(attributes.get("type"))
    id_ = documents.event_id(attributes.get("id"))
    source = documents.source(attributes.get("source"))
    time = attributes.get("time")
    ts = received if time is None else documents.time_ms(time)
    kept = {key: value for key, value in attributes.items() if key not in _MOVED}
    document = {"name": name, "data": data, "id": id_, "ts": ts, "cloudevent": kept}
    return Event(name, id_, ts, document, documents.dump(document, limit), source)


def _content_type(headers: RecordHeaders) -> str:
    """The media type without its parameters, in lower case; empty if there is none."""
    for name, value in headers:
        if value is not None and name.lower() == "content-type":
            return _text(name, value).partition(";")[0].strip().lower()
    return ""


def _is_json(content_type: str) -> bool:
    return content_type in {"application/json", "text/json"} or content_type.endswith("+json")


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RejectedError("bad_header", f"header {name[:64]} is no UTF-8: {error}") from None
