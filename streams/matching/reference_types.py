"""JSON values as celpy's types, and CEL's conversions between these types.

celpy's own conversions are as loose as Python's (`int("1_0")`), write true as `True`, and accept
`timestamp("now")`, whose answer would change each time an event is read again. Timestamps and
durations are our own (`times`).
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Final, TypeAlias, cast

from celpy.celtypes import BoolType, DoubleType, IntType, ListType, MapType, StringType, Value
from celpy.evaluation import CELEvalError, CELFunction, Result

from streams.matching import budget, times
from streams.matching.budget import Meter
from streams.matching.times import Duration, Time, Timestamp
from topology.records import Json

# What an expression's parts may be; celpy passes our times on as it does its own.
CelValue: TypeAlias = Value | Time

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_DOUBLE: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
# Doubles from here on are beyond 64 bits, or may have been rounded.
_INT64: Final = 2.0**63
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


def strict(function: Callable[..., CelValue]) -> CELFunction:
    """Give errors among the arguments back, and turn what the function raises into an error."""

    @wraps(function)
    def checked(*arguments: Result) -> Result:
        for argument in arguments:
            if isinstance(argument, CELEvalError):
                return argument
        try:
            return cast("Result", function(*arguments))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return CELEvalError(f"{error}")

    return checked


def no_overload(*arguments: object) -> TypeError:
    """Build the error for an operation that CEL doesn't have for these types."""
    return TypeError(f"no such overload for {', '.join(type(a).__name__ for a in arguments)}")


@strict
def _to_int(value: CelValue) -> Value:
    match value:
        case IntType():
            return value
        case DoubleType() if -_INT64 < value < _INT64:
            return IntType(value)
        case StringType() if _INTEGER.fullmatch(value):
            return IntType(int(value))
        case Timestamp():
            return IntType(value.ns // 10**9)
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
def _to_string(value: CelValue) -> Value:
    match value:
        case StringType():
            return value
        case BoolType():
            return StringType("true" if value else "false")
        case DoubleType() if value.is_integer() and abs(value) < _PLAIN_DOUBLE:
            return StringType(str(int(value)))
        case DoubleType():
            return StringType(repr(float(value)))
        case IntType() | Timestamp() | Duration():
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
def _to_timestamp(value: CelValue) -> CelValue:
    match value:
        case Timestamp():
            return value
        case IntType():
            return Timestamp(int(value) * 10**9)
        case StringType():
            return times.timestamp_of(str(value))
    raise no_overload(value)


@strict
def _to_duration(value: CelValue) -> CelValue:
    match value:
        case Duration():
            return value
        case StringType():
            return times.duration_of(str(value))
    raise no_overload(value)


CONVERSIONS: Final[dict[str, CELFunction]] = {
    "int": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
    "duration": _to_duration,
}
