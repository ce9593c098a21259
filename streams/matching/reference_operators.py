"""CEL's operators on celpy's types, where celpy's own differ from the specification.

celpy raises where `1 == 1.0` or `"1" == 1` is asked, takes a boolean for a number, finds the size of
null, and reads `timestamp("now")`. Written apart from `operators`, so that each tests the other.
"""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fractions import Fraction
from functools import wraps
from math import isfinite
from typing import Any, Final, cast

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

from streams.matching import limits
from streams.matching.operators import divide_doubles
from streams.matching.patterns import found

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_DOUBLE: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[-+][0-9]{2}:[0-9]{2})"
)
_TIMES: Final = (TimestampType, DurationType)
_TRUE: Final = frozenset({"true", "True", "TRUE", "t", "1"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "f", "0"})
# The largest double that `string` writes out as an integer.
_PLAIN_DOUBLE: Final = 1e21


def to_cel(value: Any) -> Value:  # noqa: ANN401 (any JSON value)
    """Give a JSON value its type in celpy."""
    match value:
        case bool():
            return BoolType(value)
        case int():
            # Not IntType(value): it refuses what JSON may hold above 2^63.
            return int.__new__(IntType, value)
        case float():
            return DoubleType(value)
        case str():
            return StringType(value)
        case list():
            return ListType([to_cel(item) for item in value])
        case dict():
            return MapType({StringType(key): to_cel(item) for key, item in value.items()})
    return None


def from_cel(value: Value) -> Any:  # noqa: ANN401 (any JSON value)
    """Give back a boolean; only booleans leave celpy, as operands of `&&` and `||`."""
    return bool(value) if isinstance(value, BoolType) else value


def _strict(function: Callable[..., Value]) -> CELFunction:
    """Pass errors on as values, as celpy wants them, and make errors of what can't be answered."""

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


def _no_overload(*arguments: Value) -> TypeError:
    return TypeError(f"no such overload for {', '.join(type(a).__name__ for a in arguments)}")


def _same(left: Value, right: Value, depth: int = 0) -> bool:
    match left, right:
        case (BoolType(), BoolType()) | (StringType(), StringType()):
            return bool(left == right)
        case (IntType(), IntType()):
            return int(left) == int(right)
        case (IntType() | DoubleType(), IntType() | DoubleType()):
            return _same_number(cast("float", left), cast("float", right))
        case (ListType(), ListType()):
            _check_depth(depth)
            pairs = zip(left, right, strict=False)
            return len(left) == len(right) and all(_same(a, b, depth + 1) for a, b in pairs)
        case (MapType(), MapType()):
            _check_depth(depth)
            if set(left) != set(right):
                return False
            return all(_same(value, right[key], depth + 1) for key, value in left.items())
        case (None, None):
            return True
    return isinstance(left, _TIMES) and type(left) is type(right) and bool(left == right)


def _same_number(left: float, right: float) -> bool:
    if isfinite(left) and isfinite(right):
        return Fraction(left) == Fraction(right)
    return float(left) == float(right)


def _check_depth(depth: int) -> None:
    if depth >= limits.VALUE_DEPTH:
        raise ValueError("values are nested too deeply to be compared")


@_strict
def strict_equal(left: Value, right: Value) -> Value:
    """Compare by value; different types are different."""
    return BoolType(_same(left, right))


@_strict
def _different(left: Value, right: Value) -> Value:
    return BoolType(not _same(left, right))


def _ordering(compare: Callable[[Any, Any], bool]) -> CELFunction:
    def ordered(left: Value, right: Value) -> Value:
        match left, right:
            case (BoolType(), BoolType()):
                return BoolType(compare(bool(left), bool(right)))
            case (StringType(), StringType()):
                return BoolType(compare(str(left), str(right)))
            case (IntType(), IntType()):
                return BoolType(compare(int(left), int(right)))
            case (IntType() | DoubleType(), IntType() | DoubleType()):
                return BoolType(_compare_numbers(compare, left, right))
        if isinstance(left, _TIMES) and type(left) is type(right):
            return BoolType(compare(left, right))
        raise _no_overload(left, right)

    return _strict(ordered)


def _compare_numbers(compare: Callable[[Any, Any], bool], left: float, right: float) -> bool:
    if isfinite(left) and isfinite(right):
        return compare(Fraction(left), Fraction(right))
    return compare(float(left), float(right))


@_strict
def _in(item: Value, container: Value) -> Value:
    if isinstance(container, MapType):
        return BoolType(isinstance(item, StringType) and item in container.keys())
    if isinstance(container, ListType):
        return BoolType(any(_same(item, other) for other in container))
    raise _no_overload(item, container)


@_strict
def _index(container: Value, key: Value) -> Value:
    if isinstance(container, MapType) and isinstance(key, StringType):
        return cast("Value", container[key])
    if isinstance(container, ListType):
        whole = isinstance(key, DoubleType) and key.is_integer()
        if (whole or isinstance(key, IntType)) and 0 <= cast("float", key) < len(container):
            return cast("Value", container[int(cast("float", key))])
    raise LookupError(f"no such key or index: {key!s:.64}")


@_strict
def _size(value: Value) -> Value:
    if isinstance(value, StringType | ListType | MapType):
        return IntType(len(value))
    raise _no_overload(value)


def _text(answer: Callable[[str, str], bool]) -> CELFunction:
    def tested(text: Value, part: Value) -> Value:
        if isinstance(text, StringType) and isinstance(part, StringType):
            return BoolType(answer(str(text), str(part)))
        raise _no_overload(text, part)

    return _strict(tested)


@_strict
def _negate(value: Value) -> Value:
    if isinstance(value, IntType | DoubleType):
        return -value
    raise _no_overload(value)


def _arithmetic(calculate: Callable[[Any, Any], Any], *allowed: type) -> CELFunction:
    def calculated(left: Value, right: Value) -> Value:
        match left, right:
            case (IntType(), IntType()):
                return IntType(calculate(left, right))
            case (DoubleType(), DoubleType()) if DoubleType in allowed:
                if calculate is operator.truediv:
                    return DoubleType(divide_doubles(float(left), float(right)))
                return DoubleType(calculate(float(left), float(right)))
        if isinstance(left, _TIMES) and isinstance(right, _TIMES) and DurationType in allowed:
            return cast("Value", calculate(left, right))
        raise _no_overload(left, right)

    return _strict(calculated)


_add_numbers: Final = _arithmetic(operator.add, DoubleType, DurationType)


@_strict
def _add(left: Value, right: Value) -> Value:
    match left, right:
        case (StringType(), StringType()) | (ListType(), ListType()):
            if len(left) + len(right) > limits.CONCATENATION_LENGTH:
                raise ValueError("the result is too long")
            joined = operator.add(left, right)
            return StringType(joined) if isinstance(left, StringType) else ListType(joined)
    return cast("Value", _add_numbers(left, right))


@_strict
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
    raise _no_overload(value)


@_strict
def _to_double(value: Value) -> Value:
    match value:
        case DoubleType():
            return value
        case IntType():
            return DoubleType(int(value))
        case StringType() if _DOUBLE.fullmatch(value):
            return DoubleType(str(value))
    raise _no_overload(value)


@_strict
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
    raise _no_overload(value)


@_strict
def _to_bool(value: Value) -> Value:
    if isinstance(value, BoolType):
        return value
    if isinstance(value, StringType) and value in _TRUE | _FALSE:
        return BoolType(value in _TRUE)
    raise _no_overload(value)


@_strict
def _to_timestamp(value: Value) -> Value:
    """Read RFC 3339 alone: celpy's parser takes "now" and times of today, which differ each time."""
    match value:
        case TimestampType():
            return value
        case IntType():
            return TimestampType(datetime.fromtimestamp(int(value), UTC))
        case StringType() if _RFC3339.fullmatch(value):
            return TimestampType(datetime.fromisoformat(str(value)))
    raise _no_overload(value)


def _all(_items: list[Value], results: Iterable[Result]) -> Result:
    return _absorb(results, absorbing=False)


def _exists(_items: list[Value], results: Iterable[Result]) -> Result:
    return _absorb(results, absorbing=True)


def _absorb(results: Iterable[Result], *, absorbing: bool) -> Result:
    outcome: Result = BoolType(not absorbing)
    for result in results:
        if not isinstance(result, BoolType):
            outcome = CELEvalError("a macro's condition has no boolean answer")
        elif bool(result) is absorbing:
            return result
    return outcome


def _exists_one(items: list[Value], results: Iterable[Result]) -> Result:
    kept = _filter(items, results)
    return BoolType(len(kept) == 1) if isinstance(kept, ListType) else kept


def _filter(items: list[Value], results: Iterable[Result]) -> Result:
    kept = []
    for item, result in zip(items, results, strict=True):
        if not isinstance(result, BoolType):
            return CELEvalError("a macro's condition has no boolean answer")
        if result:
            kept.append(item)
    return ListType(kept)


def _map(_items: list[Value], results: Iterable[Result]) -> Result:
    mapped = []
    for result in results:
        if isinstance(result, CELEvalError):
            return result
        mapped.append(cast("Value", result))
    return ListType(mapped)


MACROS: Final[dict[str, Callable[[list[Value], Iterable[Result]], Result]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
}
FUNCTIONS: Final[dict[str, CELFunction]] = {
    "-_": _negate,
    "_+_": _add,
    "_-_": _arithmetic(operator.sub, DoubleType, DurationType),
    "_*_": _arithmetic(operator.mul, DoubleType),
    "_/_": _arithmetic(operator.truediv, DoubleType),
    "_%_": _arithmetic(operator.mod),
    "_==_": strict_equal,
    "_!=_": _different,
    "_<_": _ordering(operator.lt),
    "_<=_": _ordering(operator.le),
    "_>_": _ordering(operator.gt),
    "_>=_": _ordering(operator.ge),
    "_in_": _in,
    "_[_]": _index,
    "size": _size,
    "startsWith": _text(str.startswith),
    "endsWith": _text(str.endswith),
    "contains": _text(operator.contains),
    "matches": _text(found),
    "int": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "timestamp": _to_timestamp,
    "duration": _strict(DurationType),
}
