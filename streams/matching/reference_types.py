"""JSON values as celpy's types, and CEL's conversions between these types.

celpy's own conversions are as loose as Python's (`int("1_0")`), write true as `True`, and accept
`timestamp("now")`, whose answer would change each time an event is read again.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from math import isfinite
from typing import Final

from celpy.celtypes import (
    BoolType,
    DoubleType,
    DurationType,
    IntType,
    ListType,
    MapType,
    StringType,
    TimestampType,
    Value,
)
from celpy.evaluation import CELEvalError, CELFunction, Result

from streams.matching import budget
from streams.matching.budget import Meter
from topology.records import Json

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_DOUBLE: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[-+][0-9]{2}:[0-9]{2})"
)
_TRUE: Final = frozenset({"true", "True", "TRUE", "t", "1"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "f", "0"})
# The largest double that `string` writes out as an integer.
_PLAIN_DOUBLE: Final = 1e21


def to_cel(value: Json, meter: Meter) -> Value:
    """Convert a JSON value to celpy's types; in a loop, since a document may be nested deep."""
    result = _shallow(value)
    meter.charge(budget.CONVERTED)
    pending = [(value, result)]
    while pending:
        source, target = pending.pop()
        if isinstance(target, ListType | MapType):
            meter.charge(len(source) * budget.CONVERTED)
        if isinstance(target, ListType):
            target.extend(map(_shallow, source))
            pending.extend(zip(source, target, strict=True))
        elif isinstance(target, MapType):
            for key, item in source.items():
                target[StringType(key)] = converted = _shallow(item)
                pending.append((item, converted))
    return result


def _shallow(value: Json) -> Value:
    if type(value) is int:
        # Not IntType(value): it refuses integers beyond 64 bits, which JSON may hold.
        return int.__new__(IntType, value)
    build = _TYPES.get(type(value))
    return None if build is None else build(value)


_TYPES: Final[dict[type, Callable[[Json], Value]]] = {
    bool: BoolType,
    float: DoubleType,
    str: StringType,
    list: lambda _items: ListType(),
    dict: lambda _members: MapType(),
}


def strict(function: Callable[..., Value]) -> CELFunction:
    """Give errors among the arguments back, and turn what the function raises into an error."""

    @wraps(function)
    def checked(*arguments: Result) -> Result:
        for argument in arguments:
            if isinstance(argument, CELEvalError):
                return argument
        try:
            return function(*arguments)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return CELEvalError(f"{error}")

    return checked


def no_overload(*arguments: Value) -> TypeError:
    """Build the error for an operation that CEL doesn't have for these types."""
    return TypeError(f"no such overload for {', '.join(type(a).__name__ for a in arguments)}")


@strict
def _to_int(value: Value) -> Value:
    match value:
        case IntType():
            return value
        case DoubleType() if isfinite(value):
            return IntType(value)
        case StringType() if _INTEGER.fullmatch(value):
            return IntType(int(value))
        case TimestampType():
            return IntType(int(value.timestamp()))
    raise no_overload(value)


@strict
def _to_double(value: Value) -> Value:
    match value:
        case DoubleType():
            return value
        case IntType():
            return DoubleType(int(value))
        case StringType() if _DOUBLE.fullmatch(value):
            return DoubleType(str(value))
    raise no_overload(value)


@strict
def _to_string(value: Value) -> Value:
    match value:
        case StringType():
            return value
        case BoolType():
            return StringType("true" if value else "false")
        case DoubleType() if value.is_integer() and abs(value) < _PLAIN_DOUBLE:
            return StringType(str(int(value)))
        case DoubleType():
            return StringType(repr(float(value)))
        case IntType() | TimestampType() | DurationType():
            return StringType(str(value))
    raise no_overload(value)


@strict
def _to_bool(value: Value) -> Value:
    if isinstance(value, BoolType):
        return value
    if isinstance(value, StringType) and value in _TRUE | _FALSE:
        return BoolType(value in _TRUE)
    raise no_overload(value)


@strict
def _to_timestamp(value: Value) -> Value:
    """Accept RFC 3339, and no other form of text."""
    match value:
        case TimestampType():
            return value
        case IntType():
            return TimestampType(datetime.fromtimestamp(int(value), UTC))
        case StringType() if _RFC3339.fullmatch(value):
            return TimestampType(datetime.fromisoformat(str(value)))
    raise no_overload(value)


CONVERSIONS: Final[dict[str, CELFunction]] = {
    "int": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
    "duration": strict(DurationType),
}
