"""CEL's operators on celpy's types, where celpy's own differ from the specification.

celpy raises for `1 == 1.0` and `"1" == 1`, treats booleans as numbers, and gives null a size. This
module shares next to nothing with `operators`, so that each tests the other.
"""

import operator
from collections.abc import Callable, Sequence, Sized
from fractions import Fraction
from math import isfinite
from typing import Final, cast

from celpy.celtypes import BoolType, DoubleType, IntType, ListType, MapType, StringType, Value
from celpy.evaluation import CELFunction, Result

from streams.matching import budget, limits, patterns, reference_texts, times
from streams.matching.budget import Meter
from streams.matching.operators import Comparison, Operation, divide_doubles
from streams.matching.reference_types import CONVERSIONS, CelValue, no_overload, strict
from streams.matching.times import Duration, Time, Timestamp
from streams.matching.vocabulary import GIVEN_PATTERN


def _same(left: CelValue, right: CelValue, depth: int = 0) -> bool:
    match left, right:
        case (ListType(), ListType()) | (MapType(), MapType()) if depth == limits.VALUE_DEPTH:
            raise ValueError("values are nested too deeply to be compared")
        case (ListType(), ListType()):
            pairs = zip(left, right, strict=False)
            return len(left) == len(right) and all(_same(a, b, depth + 1) for a, b in pairs)
        case (MapType(), MapType()):
            return set(left) == set(right) and all(
                _same(value, right[key], depth + 1) for key, value in left.items()
            )
        case (IntType() | DoubleType(), IntType() | DoubleType()):
            return _equal_numbers(cast("float", left), cast("float", right))
        case (None, None):
            return True
    comparable = BoolType | StringType | Timestamp | Duration
    return isinstance(left, comparable) and type(left) is type(right) and bool(left == right)


@strict
def strict_equal(left: Value, right: Value) -> Value:
    """Compare by value; different types are different."""
    return BoolType(_same(left, right))


@strict
def _different(left: Value, right: Value) -> Value:
    return BoolType(not _same(left, right))


def _ordering(compare: Comparison) -> CELFunction:
    def ordered(left: CelValue, right: CelValue) -> Value:
        match left, right:
            case (BoolType(), BoolType()):
                return BoolType(compare(bool(left), bool(right)))
            case (StringType(), StringType()):
                return BoolType(compare(str(left), str(right)))
            case (IntType(), IntType()):
                return BoolType(compare(int(left), int(right)))
            case (IntType() | DoubleType(), IntType() | DoubleType()):
                return BoolType(compare(float(left), float(right)))
            case (Timestamp(one), Timestamp(other)) | (Duration(one), Duration(other)):
                return BoolType(compare(one, other))
        raise no_overload(left, right)

    return strict(ordered)


def _equal_numbers(left: float, right: float) -> bool:
    if isfinite(left) and isfinite(right):
        return Fraction(left) == Fraction(right)
    return float(left) == float(right)


@strict
def _in(item: Value, container: Value) -> Value:
    if isinstance(container, MapType):
        return BoolType(isinstance(item, StringType) and item in set(container))
    if isinstance(container, ListType):
        return BoolType(any(_same(item, other) for other in container))
    raise no_overload(item, container)


@strict
def _index(container: Value, key: Value) -> Value:
    if isinstance(container, MapType) and isinstance(key, StringType):
        return cast("Value", container[key])
    if isinstance(container, ListType):
        whole = isinstance(key, DoubleType) and key.is_integer()
        if (whole or isinstance(key, IntType)) and 0 <= cast("float", key) < len(container):
            return container[int(cast("float", key))]
    raise LookupError(f"no such key or index: {key!s:.64}")


@strict
def _size(value: Value) -> Value:
    if isinstance(value, StringType | ListType | MapType):
        return IntType(len(value))
    raise no_overload(value)


def _text(answer: Callable[[str, str], bool]) -> CELFunction:
    def tested(text: Value, part: Value) -> Value:
        if isinstance(text, StringType) and isinstance(part, StringType):
            return BoolType(answer(str(text), str(part)))
        raise no_overload(text, part)

    return strict(tested)


@strict
def _negate(value: Value) -> Value:
    if isinstance(value, IntType | DoubleType):
        return -value
    raise no_overload(value)


def _arithmetic(calculate: Operation, *allowed: type) -> CELFunction:
    def calculated(left: Value, right: Value) -> Value:
        match left, right:
            case (IntType(), IntType()):
                return IntType(calculate(left, right))
            case (DoubleType(), DoubleType()) if DoubleType in allowed:
                if calculate is operator.truediv:
                    return DoubleType(divide_doubles(float(left), float(right)))
                return DoubleType(calculate(float(left), float(right)))
        raise no_overload(left, right)

    return strict(calculated)


def _or_times(
    numbers: CELFunction, calculate: Callable[[object, object], Time | None]
) -> CELFunction:
    def calculated(left: CelValue, right: CelValue) -> CelValue:
        time = calculate(left, right)
        return cast("Value", numbers(left, right)) if time is None else time

    return strict(calculated)


_add_numbers: Final = _or_times(_arithmetic(operator.add, DoubleType), times.add)


@strict
def _add(left: Value, right: Value) -> Value:
    match left, right:
        case (StringType(), StringType()):
            _check_length(left, right)
            return StringType(str(left) + str(right))
        case (ListType(), ListType()):
            _check_length(left, right)
            return ListType([*left, *right])
    return cast("Value", _add_numbers(left, right))


def _check_length(left: Sized, right: Sized) -> None:
    if len(left) + len(right) > limits.CONCATENATION_LENGTH:
        raise ValueError("the result is too long")


def _field(name: str) -> CELFunction:
    def answered(time: CelValue, *zone: Value) -> Value:
        match time, zone:
            case Timestamp(), () | (StringType(),):
                return IntType(times.field_of_timestamp(name, time, *map(str, zone)))
            case Duration(), ():
                return IntType(times.part_of_duration(name, time))
        raise no_overload(time, *zone)

    return strict(answered)


_FUNCTIONS: Final[dict[str, CELFunction]] = {
    "-_": _negate,
    "_+_": _add,
    "_-_": _or_times(_arithmetic(operator.sub, DoubleType), times.subtract),
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
    "matches": _text(patterns.occurs),
    **reference_texts.FUNCTIONS,
    **CONVERSIONS,
    **{name: _field(name) for name in times.METHODS},
}


def charged_functions(meter: Meter) -> dict[str, CELFunction]:
    """Give all functions; those whose time depends on the size of their operands charge it."""
    given = _text(lambda text, pattern: patterns.occurs_given(text, pattern, meter))
    return _FUNCTIONS | {GIVEN_PATTERN: given} | {name: _charged(name, meter) for name in _SIZED}


def _charged(name: str, meter: Meter) -> CELFunction:
    function, price = _FUNCTIONS[name], _PRICES.get(name)

    def charged(*arguments: Result) -> Result:
        if name != "matches":
            meter.charge(sum(_size_in_units(argument) for argument in arguments))
        if price is not None:
            meter.charge(price(arguments))
        return function(*arguments)

    return charged


def _price_of_matching(arguments: Sequence[Result]) -> float:
    match arguments:
        case StringType() as text, StringType() as pattern:
            return patterns.price(str(text), str(pattern))
    return 0


_PRICES: Final = {**reference_texts.PRICES, "matches": _price_of_matching}


# Functions that look at more than the shape of their operands.
_SIZED: Final = frozenset(
    {
        *("_==_", "_!=_", "_in_", "_<_", "_<=_", "_>_", "_>=_", "_+_"),
        *("startsWith", "endsWith", "contains", "matches", "int", "double", "string", "bool"),
        *("timestamp", *reference_texts.FUNCTIONS),
    }
)


def _size_in_units(value: Result) -> float:
    """What looking at each value in a value weighs, and at each character of its texts."""
    units = 0.0
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, StringType):
            units += len(current) * budget.MADE_CHAR
        elif isinstance(current, ListType):
            units += len(current) * budget.CONVERTED
            pending += current
        elif isinstance(current, MapType):
            units += len(current) * budget.CONVERTED
            pending += [*current, *current.values()]
    return units
