"""Match keys: the values under paths, and bytes that are equal exactly where CEL's values are.

Equality is by value (S15): 1, 1.0 and 1e0 are one number, -0.0 is 0, integers beyond 2^53 are not
rounded to doubles, true is not 1, lists and maps are compared deep and the order of a map's members
doesn't matter. Strings are taken as they are, without Unicode normalisation.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeGuard

from streams.errors import EvaluationError
from streams.matching import limits
from topology.keys import Path
from topology.records import Json

# An event as decoded JSON.
Document: TypeAlias = dict[str, Json]
# What the paths of a rule lead to in one event, in their order.
Values: TypeAlias = tuple[Json, ...]
# From an event to such values; None where one of them is missing or null.
Extractor: TypeAlias = Callable[[Document], Values | None]


def values(paths: tuple[Path, ...], document: Document) -> Values | None:
    """Give the values under the paths, or None where one of them is missing or null (S14)."""
    collected = []
    for path in paths:
        value = dig(path, document)
        if value is None:
            return None
        collected.append(value)
    return tuple(collected)


def dig(path: Path, value: Json) -> Json:
    """Give the value under one path, or None where it is missing or null."""
    for segment in path:
        if isinstance(segment, str):
            if type(value) is not dict:
                return None
            value = value.get(segment)
        elif type(value) is list and segment < len(value):
            value = value[segment]
        else:
            return None
    return value


def extractor(paths: tuple[Path, ...]) -> Extractor:
    """Give a function that does what `values` does for these paths, faster."""
    members = [path for path in paths if _is_member_of_member(path)]
    if len(members) != len(paths):
        return lambda document: values(paths, document)
    if len(members) == 1:
        return _one_member(*members[0])
    return _many_members(members)


def _is_member_of_member(path: Path) -> TypeGuard[tuple[str, str]]:
    match path:
        case (str(), str()):
            return True
    return False


def _one_member(outer: str, inner: str) -> Extractor:
    def extract(document: Document) -> Values | None:
        try:
            value = document[outer][inner]
        except (KeyError, TypeError):
            # A string or list where a map was expected raises TypeError for a string index.
            return None
        return None if value is None else (value,)

    return extract


def _many_members(members: list[tuple[str, str]]) -> Extractor:
    def extract(document: Document) -> Values | None:
        try:
            collected = tuple([document[outer][inner] for outer, inner in members])
        except (KeyError, TypeError):
            return None
        return None if None in collected else collected

    return extract


def canonical(values: Values) -> bytes:
    """Encode values so that equal values, and no others, have equal bytes.

    Raises:
        EvaluationError: A value is nested deeper than values are compared, or is no JSON value.
    """
    if len(values) == 1:
        value = values[0]
        # No other key begins with an s, so a single string needs no length.
        if type(value) is str:
            text = "s" + value
        else:
            text = f"i{value};" if type(value) is int else _encode(value, 0)
    else:
        text = "t" + "".join([_encode(value, 0) for value in values])
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Lone surrogates: JSON decoders refuse them, but making a key must not fail on them.
        return text.encode("utf-8", "surrogatepass")


def _encode(value: Json, depth: int) -> str:
    """Encode a value so that no encoding is a prefix of another."""
    kind = type(value)
    if kind is str:
        return f"s{len(value)}:{value}"
    if kind is int:
        return f"i{value};"
    if kind is bool:
        return "b1" if value else "b0"
    if kind is float:
        # An integral double is written as the integer it equals, at any size.
        return f"i{int(value)};" if value.is_integer() else f"f{value.hex()};"
    return "n" if value is None else _container(value, depth + 1)


def _container(value: Json, depth: int) -> str:
    if depth > limits.VALUE_DEPTH:
        raise EvaluationError(f"values nested over {limits.VALUE_DEPTH} levels can't be compared")
    if type(value) is list:
        items = [_encode(item, depth) for item in value]
        return f"l{len(items)}:{''.join(items)}"
    if type(value) is dict:
        members = [_encode(key, depth) + _encode(value[key], depth) for key in sorted(value)]
        return f"m{len(members)}:{''.join(members)}"
    raise EvaluationError(f"{type(value).__name__} is not a JSON type")
