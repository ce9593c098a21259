"""CEL's operators on decoded JSON: the semantics of the compiled closures.

Ints and doubles are compared by exact value, as in Python; booleans are no numbers, unlike in
Python. Where CEL has no answer, a function here raises EvaluationError.
"""

import math
import operator
from collections.abc import Callable
from typing import Final, TypeAlias

from streams.errors import EvaluationError
from streams.matching import limits
from streams.matching.patterns import occurs
from topology.records import Json

# From two operands to the verdict.
Comparison: TypeAlias = Callable[[Json, Json], bool]
# From two operands to the result.
Operation: TypeAlias = Callable[[Json, Json], Json]

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


def equal(left: Json, right: Json, depth: int = 0) -> bool:
    """Compare by value (S15); values of two types are different, but for ints and doubles."""
    kind = type(left)
    if kind is str:
        return bool(left == right)
    if kind is int or kind is float:
        return type(right) is not bool and bool(left == right)
    if kind is list or kind is dict:
        return type(right) is kind and _deep_equal(left, right, depth + 1)
    return left is right


def _deep_equal(left: Json, right: Json, depth: int) -> bool:
    if depth > limits.VALUE_DEPTH:
        raise EvaluationError(f"values nested over {limits.VALUE_DEPTH} levels can't be compared")
    if len(left) != len(right):
        return False
    if type(left) is list:
        return all(equal(a, b, depth) for a, b in zip(left, right, strict=True))
    return left.keys() == right.keys() and all(
        equal(value, right[key], depth) for key, value in left.items()
    )


COMPARISONS: Final[dict[str, Comparison]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _ordering(symbol: str) -> Comparison:
    compare = COMPARISONS[symbol]

    def ordered(left: Json, right: Json) -> bool:
        kind, other = type(left), type(right)
        if kind is int or kind is float:
            if other is int or other is float:
                return compare(left, right)
        elif kind is other and (kind is str or kind is bool):
            return compare(left, right)
        raise no_overload(symbol, left, right)

    return ordered


ORDERINGS: Final = {symbol: _ordering(symbol) for symbol in COMPARISONS}


def contains(item: Json, container: Json) -> bool:
    """Answer `item in container`: a member of a list by equality, of a map by its key."""
    if type(container) is dict:
        return type(item) is str and item in container
    if type(container) is list:
        return any(equal(item, other) for other in container)
    raise no_overload("in", item, container)


def index(container: Json, key: Json) -> Json:
    """Answer `container[key]`; a list takes integers, written as int or double."""
    if type(container) is dict:
        if type(key) is str and key in container:
            return container[key]
        raise EvaluationError(f"no such key: {key!r:.64}")
    if type(container) is list:
        kind = type(key)
        if (kind is int or (kind is float and key.is_integer())) and 0 <= key < len(container):
            return container[int(key)]
        raise EvaluationError(f"no such index: {key!r:.64}")
    raise no_overload("[]", container, key)


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
    raise EvaluationError(f"size: no such overload for {_type_name(value)}")


def _text(name: str, answer: Callable[[str, str], bool]) -> Comparison:
    def tested(text: Json, part: Json) -> bool:
        if type(text) is str and type(part) is str:
            return answer(text, part)
        raise no_overload(name, text, part)

    return tested


TEXT: Final = {
    "startsWith": _text("startsWith", str.startswith),
    "endsWith": _text("endsWith", str.endswith),
    "contains": _text("contains", operator.contains),
    "matches": _text("matches", occurs),
}


def negate(value: Json) -> Json:
    """Answer `-value`."""
    if type(value) is float:
        return -value
    if type(value) is int:
        return _bounded(-value)
    raise EvaluationError(f"-: no such overload for {_type_name(value)}")


def add(left: Json, right: Json) -> Json:
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
    "+": add,
    "-": _arithmetic("-", operator.sub, operator.sub),
    "*": _arithmetic("*", operator.mul, operator.mul),
    "/": _arithmetic("/", _divide, divide_doubles),
    "%": _arithmetic("%", _remainder, None),
}


def _bounded(value: int) -> int:
    if _INT64_MIN <= value <= _INT64_MAX:
        return value
    raise EvaluationError("an integer beyond 64 bits")


def no_overload(symbol: str, left: Json, right: Json) -> EvaluationError:
    """Build the error for an operation that CEL doesn't have for these types."""
    return EvaluationError(
        f"{symbol}: no such overload for {_type_name(left)} and {_type_name(right)}"
    )


def _type_name(value: Json) -> str:
    names = {str: "string", int: "int", float: "double", bool: "bool", list: "list", dict: "map"}
    return names.get(type(value), "null")
