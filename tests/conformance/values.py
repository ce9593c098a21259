"""The suite's values: JSON's, timestamps and durations, or an error."""

import math
from typing import Any, Final

from streams.matching.times import Duration, Timestamp
from tests.conformance.textproto import Message

# What a test wants where no answer is right.
ERROR: Final = type("Error", (), {"__repr__": lambda _self: "an error"})()

_NO_JSON: Final = {
    "uint64_value": "uint",
    "bytes_value": "bytes",
    "enum_value": "enums",
    "type_value": "type()",
}
_KNOWN: Final = "google.protobuf."


class OutOfScopeError(Exception):
    """A value that JSON doesn't have; the message says what it is."""


def value_of(message: Message) -> Any:
    """Read a `cel.expr.Value`: decoded JSON, a `Timestamp` or a `Duration`.

    Raises:
        OutOfScopeError: JSON has no such value.
    """
    ((kind, inner),) = message.fields
    if isinstance(inner, Message):
        return _of_message(kind, inner)
    if kind in _NO_JSON:
        raise OutOfScopeError(_NO_JSON[kind])
    return _scalar(kind, inner)


def _scalar(kind: str, value: str | bytes) -> Any:
    text = value.decode() if isinstance(value, bytes) else value.replace(" ", "")
    match kind:
        case "null_value":
            return None
        case "bool_value":
            return text == "true"
        case "int64_value":
            return int(text, 16 if "0x" in text else 10)
        case "double_value" | "number_value":
            return float(text if "inf" in text else text.rstrip("f"))
        case "string_value":
            return text
    raise OutOfScopeError(kind)


def _of_message(kind: str, message: Message) -> Any:
    match kind:
        case "list_value":
            return [value_of(item) for item in message.messages("values")]
        case "map_value":
            return dict(map(_entry, message.messages("entries")))
        case "struct_value":
            return dict(map(_entry, message.messages("fields")))
        case "object_value":
            ((address, inner),) = message.fields
            assert isinstance(inner, Message)
            return _well_known(address.split("/")[-1].removeprefix(_KNOWN), inner)
    raise OutOfScopeError(_NO_JSON.get(kind, kind))


def _entry(entry: Message) -> tuple[str, Any]:
    value = entry.message("value")
    assert value is not None
    key = entry.message("key")
    if key is None:
        return entry.text("key"), value_of(value)
    name = value_of(key)
    if type(name) is not str:
        raise OutOfScopeError("map keys that are no strings")
    return name, value_of(value)


def _well_known(name: str, message: Message) -> Any:
    match name:
        case "Timestamp":
            return Timestamp(_ns(message))
        case "Duration":
            return Duration(_ns(message))
        case "Value":
            return value_of(message) if message.fields else None
        case "Struct":
            return _of_message("struct_value", message)
        case "ListValue":
            return _of_message("list_value", message)
    raise OutOfScopeError("protobuf messages")


def _ns(message: Message) -> int:
    return int(message.text("seconds") or "0") * 10**9 + int(message.text("nanos") or "0")


def same(want: Any, got: Any) -> bool:
    """Whether two values are the same, type for type; any NaN is any other."""
    if type(want) is not type(got):
        return False
    if type(want) is float:
        if math.isnan(want):
            return math.isnan(got)
        return want == got and math.copysign(1, want) == math.copysign(1, got)
    if type(want) is list:
        return len(want) == len(got) and all(map(same, want, got))
    if type(want) is dict:
        return want.keys() == got.keys() and all(same(want[key], got[key]) for key in want)
    return bool(want == got)


def literal(time: Timestamp | Duration) -> str:
    """Write a time as CEL does: events have none."""
    return f'{type(time).__name__.lower()}("{time}")'
