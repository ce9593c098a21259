"""CEL's operators on decoded JSON: the semantics of the compiled closures.

Ints and doubles are equal by exact value, as in Python, and ordered as doubles; booleans are no
numbers, unlike in Python. Where CEL has no answer, a function here raises EvaluationError.
Functions whose time or result depends on the size of their operands charge a meter first.
"""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from streams.errors import EvaluationError
from streams.matching import budget, limits, patterns
from streams.matching.budget import Meter
from streams.matching.vocabulary import GIVEN_PATTERN
from topology.records import Json

# From two operands to the verdict.
Comparison: TypeAlias = Callable[[Json, Json], bool]
# From two operands to the result.
Operation: TypeAlias = Callable[[Json, Json], Json]
# The same, for operands whose size is charged.
Metered: TypeAlias = Callable[[Json, Json, Meter], Json]
# From a text, and a part or a pattern, to what testing them weighs.
Price: TypeAlias = Callable[[str, str], float]

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


# Shorter texts are compared in no time.
_LONG_TEXT: Final = 1_000


def equal(left: Json, right: Json, meter: Meter) -> bool:
    """Compare by value (S15); values of two types are different, but for ints and doubles."""
    kind = type(left)
    if kind is str:
        return _same_text(left, right, meter)
    if kind is int or kind is float:
        return type(right) is not bool and bool(left == right)
    if kind is list or kind is dict:
        if type(right) is not kind:
            return False
        return _deep_equal(left, right, meter, meter.weight_of_walk(budget.COMPARED), 1)
    return left is right


def _same_text(left: str, right: Json, meter: Meter) -> bool:
    if len(left) > _LONG_TEXT and type(right) is str:
        meter.charge(budget.cost_of_text(left, right))
    return bool(left == right)


def _deep_equal(left: Json, right: Json, meter: Meter, weight: float, depth: int) -> bool:
    """Compare two lists or two maps; `weight` is what each pair of values weighs."""
    if depth > limits.VALUE_DEPTH:
        raise EvaluationError(f"values nested over {limits.VALUE_DEPTH} levels can't be compared")
    if len(left) != len(right):
        return False
    meter.charge((len(left) + budget.COMPARED_CONTAINER) * weight)
    pairs: Iterable[tuple[Json, Json]]
    if type(left) is list:
        pairs = zip(left, right, strict=True)
    elif _same_keys(left, right, meter):
        pairs = ((value, right[key]) for key, value in left.items())
    else:
        return False
    for ours, theirs in pairs:
        kind = type(ours)
        if kind is list or kind is dict:
            if type(theirs) is not kind or not _deep_equal(ours, theirs, meter, weight, depth + 1):
                return False
        elif not equal(ours, theirs, meter):
            return False
    return True


def _same_keys(left: Json, right: Json, meter: Meter) -> bool:
    meter.charge(sum(map(len, left)) * budget.COMPARED_WIDE_CHAR)
    return bool(left.keys() == right.keys())


COMPARISONS: Final[dict[str, Comparison]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def as_double(number: float) -> float:
    """Round an int as CEL does to order it with a double."""
    try:
        return float(number)
    except OverflowError:
        raise EvaluationError("an integer beyond 64 bits") from None


def _ordering(symbol: str) -> Metered:
    compare = COMPARISONS[symbol]

    def ordered(left: Json, right: Json, meter: Meter) -> bool:
        kind, other = type(left), type(right)
        if kind is int or kind is float:
            if kind is other:
                return compare(left, right)
            if other is int or other is float:
                return compare(as_double(left), as_double(right))
        elif kind is other and (kind is str or kind is bool):
            if kind is str and len(left) > _LONG_TEXT:
                meter.charge(budget.cost_of_text(left, right))
            return compare(left, right)
        raise no_overload(symbol, left, right)

    return ordered


ORDERINGS: Final = {symbol: _ordering(symbol) for symbol in COMPARISONS}


def contains(item: Json, container: Json, meter: Meter) -> bool:
    """Answer `item in container`: a member of a list by equality, of a map by its key."""
    if type(container) is dict:
        return type(item) is str and _has_key(container, item, meter)
    if type(container) is not list:
        raise no_overload("in", item, container)
    if type(item) is str:  # Python compares texts as CEL does, and ten times as fast as a loop
        each = budget.SOUGHT + budget.cost_of_text(item, item)
        meter.charge(len(container) * meter.weight_of_walk(each))
        return item in container
    meter.charge(len(container) * meter.weight_of_walk(budget.COMPARED))
    return any(equal(item, other, meter) for other in container)


def _has_key(container: Json, key: str, meter: Meter) -> bool:
    if len(key) > _LONG_TEXT:
        meter.charge(budget.cost_of_text(key, key))
    return key in container


def index(container: Json, key: Json, meter: Meter) -> Json:
    """Answer `container[key]`; a list takes integers, written as int or double."""
    if type(container) is dict:
        if type(key) is str and _has_key(container, key, meter):
            return container[key]
        raise EvaluationError(f"no such key: {_shown(key)}")
    if type(container) is list:
        kind = type(key)
        if (kind is int or (kind is float and key.is_integer())) and 0 <= key < len(container):
            return container[int(key)]
        raise EvaluationError(f"no such index: {_shown(key)}")
    raise no_overload("[]", container, key)


def _shown(key: Json) -> str:
    """A key for a message; writing out a large value only to cut it off would take its time."""
    if type(key) is str:
        return repr(key[:64])
    return _type_name(key) if type(key) in {list, dict} else repr(key)


def member(container: Json, name: str) -> Json:
    """Answer `container.name`."""
    if type(container) is dict and name in container:
        return container[name]
    raise EvaluationError(f"no such member: {name}")


def has(container: Json, name: str) -> bool:
    """Answer `has(container.name)`: whether the map has the member, even if it is null."""
    if type(container) is dict:
        return name in container
    raise EvaluationError(f"has: {_type_name(container)} has no members")


def size(value: Json) -> int:
    """Count characters, items or members."""
    if type(value) in {str, list, dict}:
        return len(value)
    raise no_overload("size", value)


def _text(name: str, answer: Callable[[str, str], bool], price: Price) -> Metered:
    def tested(text: Json, part: Json, meter: Meter) -> bool:
        if type(text) is str and type(part) is str:
            meter.charge(price(text, part))
            return answer(text, part)
        raise no_overload(name, text, part)

    return tested


def _matches_given(text: Json, pattern: Json, meter: Meter) -> bool:
    if type(text) is not str or type(pattern) is not str:
        raise no_overload("matches", text, pattern)
    try:
        return patterns.occurs_given(text, pattern, meter)
    except ValueError as error:
        raise EvaluationError(f"matches: {error}") from None


TEXT: Final = {
    "startsWith": _text("startsWith", str.startswith, budget.cost_of_text),
    "endsWith": _text("endsWith", str.endswith, budget.cost_of_text),
    "contains": _text("contains", operator.contains, budget.cost_of_search),
    "matches": _text("matches", patterns.occurs, patterns.price),
    GIVEN_PATTERN: _matches_given,
}


def negate(value: Json) -> Json:
    """Answer `-value`."""
    if type(value) is float:
        return -value
    if type(value) is int:
        return _bounded(-value)
    raise no_overload("-", value)


def add(left: Json, right: Json, meter: Meter) -> Json:
    """Add two numbers of one type, or join two strings or lists."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return _bounded(left + right)
        if kind is float:
            return left + right
        if kind is str or kind is list:
            if len(left) + len(right) > limits.CONCATENATION_LENGTH:
                raise EvaluationError("+: the result is too long")
            each = budget.MADE_CHAR if kind is str else budget.MADE_ITEM
            meter.charge((len(left) + len(right)) * each)
            return left + right
    raise no_overload("+", left, right)


def _arithmetic(
    symbol: str, ints: Callable[[int, int], int], floats: Callable[[float, float], float] | None
) -> Operation:
    def calculated(left: Json, right: Json) -> Json:
        kind = type(left)
        if kind is type(right):
            if kind is int:
                return _bounded(ints(left, right))
            if kind is float and floats is not None:
                return floats(left, right)
        raise no_overload(symbol, left, right)

    return calculated


def _divide(left: int, right: int) -> int:
    """Divide towards zero, as CEL does and Python doesn't."""
    if right == 0:
        raise EvaluationError("/: division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("%: division by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def divide_doubles(left: float, right: float) -> float:
    """Divide as IEEE 754 does, where Python raises."""
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


ARITHMETIC: Final = {
    "-": _arithmetic("-", operator.sub, operator.sub),
    "*": _arithmetic("*", operator.mul, operator.mul),
    "/": _arithmetic("/", _divide, divide_doubles),
    "%": _arithmetic("%", _remainder, None),
}


def _bounded(value: int) -> int:
    if _INT64_MIN <= value <= _INT64_MAX:
        return value
    raise EvaluationError("an integer beyond 64 bits")


def no_overload(symbol: str, *operands: Json) -> EvaluationError:
    """Build the error for an operation that CEL doesn't have for these types."""
    return EvaluationError(f"{symbol}: no such overload for {', '.join(map(_type_name, operands))}")


def _type_name(value: Json) -> str:
    names = {str: "string", int: "int", float: "double", bool: "bool", list: "list", dict: "map"}
    return names.get(type(value), "null")
