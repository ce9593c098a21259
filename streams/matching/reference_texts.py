"""CEL's extension for strings on celpy's types.

Like `reference_operators` it shares next to nothing with what is compiled, so that each tests the
other. It takes the texts apart by characters; what that weighs is charged before.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from celpy.celtypes import IntType, ListType, StringType, Value
from celpy.evaluation import CELFunction, Result

from streams.matching import budget, limits
from streams.matching.reference_types import no_overload, strict
from streams.matching.texts import SPACES

# From the arguments of a call, of whatever types, to what it weighs besides their size.
Price: TypeAlias = Callable[[Sequence[Result]], float]


@strict
def _char_at(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, IntType() as position:
            characters = [*text, ""]
            return StringType(characters[_checked(position, text)])
    raise no_overload(*arguments)


@strict
def _substring(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, IntType() as start:
            return StringType(str(text)[_checked(start, text) :])
        case StringType() as text, IntType() as start, IntType() as end if start <= end:
            return StringType(str(text)[: _checked(end, text)][_checked(start, text) :])
    raise no_overload(*arguments)


@strict
def _index_of(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, StringType() as part:
            return IntType(str(text).find(part))
        case StringType() as text, StringType() as part, IntType() as first:
            skipped = _checked(first, text)
            found = str(text)[skipped:].find(part)
            return IntType(found if found < 0 else skipped + found)
    raise no_overload(*arguments)


@strict
def _last_index_of(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, StringType() as part:
            return IntType(str(text).rfind(part))
        case StringType() as text, StringType() as part, IntType() as last:
            return IntType(str(text)[: _checked(last, text) + len(part)].rfind(part))
    raise no_overload(*arguments)


def _checked(position: int, text: str) -> int:
    if position < 0 or position > len(text):
        raise IndexError("index out of range")
    return int(position)


def _ascii(convert: Callable[[str], str]) -> CELFunction:
    def converted(text: Value) -> Value:
        if isinstance(text, StringType):
            return StringType("".join(convert(one) if one < "\x80" else one for one in text))
        raise no_overload(text)

    return strict(converted)


@strict
def _trim(text: Value) -> Value:
    if isinstance(text, StringType):
        kept = [place for place, one in enumerate(text) if one not in SPACES]
        return StringType(str(text)[kept[0] : kept[-1] + 1] if kept else "")
    raise no_overload(text)


@strict
def _replace(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, StringType() as part, StringType() as by:
            return _replaced(str(text), str(part), str(by), -1)
        case StringType() as text, StringType() as part, StringType() as by, IntType() as most:
            return _replaced(str(text), str(part), str(by), int(most))
    raise no_overload(*arguments)


def _replaced(text: str, part: str, by: str, most: int) -> Value:
    if most == 0:
        return StringType(text)
    between = ["", *text, ""] if part == "" else text.split(part)
    if 0 < most < len(between):
        between[most:] = [part.join(between[most:])]
    length = sum(map(len, between)) + len(by) * (len(between) - 1)
    _check_length(length, max(limits.CONCATENATION_LENGTH, len(text)))
    return StringType(by.join(between))


@strict
def _split(*arguments: Value) -> Value:
    match arguments:
        case StringType() as text, StringType() as by:
            return _listed(str(text), str(by), -1)
        case StringType() as text, StringType() as by, IntType() as most:
            return _listed(str(text), str(by), int(most))
    raise no_overload(*arguments)


def _listed(text: str, by: str, most: int) -> Value:
    parts = list(text) if by == "" else text.split(by)
    if most == 0:
        parts = []
    elif 0 < most < len(parts):
        parts[most - 1 :] = [by.join(parts[most - 1 :])]
    return ListType([StringType(part) for part in parts])


@strict
def _join(*arguments: Value) -> Value:
    match arguments:
        case (ListType() as items,):
            return _joined(items, "")
        case ListType() as items, StringType() as by:
            return _joined(items, str(by))
    raise no_overload(*arguments)


def _joined(items: list[Value], by: str) -> Value:
    texts = [str(item) for item in items if isinstance(item, StringType)]
    if len(texts) < len(items):
        raise TypeError("join: an item is not a string")
    length = sum(map(len, texts)) + len(by) * max(0, len(texts) - 1)
    _check_length(length, limits.CONCATENATION_LENGTH)
    return StringType(by.join(texts))


def _check_length(length: int, most: int) -> None:
    if length > most:
        raise ValueError("the result is too long")


def _text_at(arguments: Sequence[Result], place: int) -> str:
    """Give an argument if it is a text; else the call has no answer, and takes nothing."""
    value = arguments[place] if place < len(arguments) else None
    return str(value) if isinstance(value, StringType) else ""


def _price_of_characters(arguments: Sequence[Result]) -> float:
    return len(_text_at(arguments, 0)) * budget.STEP


def _price_of_search(arguments: Sequence[Result]) -> float:
    text, part = _text_at(arguments, 0), _text_at(arguments, 1)
    return budget.cost_of_search_backwards(text, part)


def _price_of_parts(arguments: Sequence[Result]) -> float:
    text, part = _text_at(arguments, 0), _text_at(arguments, 1)
    most = len(text) // max(1, len(part)) + 1
    return 3 * budget.cost_of_searches(text, part) + most * budget.CONVERTED


def _price_of_replacing(arguments: Sequence[Result]) -> float:
    # More than this is not made.
    most = max(limits.CONCATENATION_LENGTH, len(_text_at(arguments, 0)))
    return _price_of_parts(arguments) + most * budget.MADE_CHAR


PRICES: Final[dict[str, Price]] = {
    "charAt": _price_of_characters,
    "indexOf": _price_of_search,
    "join": lambda _arguments: limits.CONCATENATION_LENGTH * budget.MADE_CHAR,
    "lastIndexOf": _price_of_search,
    "lowerAscii": _price_of_characters,
    "replace": _price_of_replacing,
    "split": _price_of_parts,
    "substring": lambda _arguments: 0,
    "trim": _price_of_characters,
    "upperAscii": _price_of_characters,
}
FUNCTIONS: Final[dict[str, CELFunction]] = {
    "charAt": _char_at,
    "indexOf": _index_of,
    "join": _join,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _ascii(str.lower),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": _trim,
    "upperAscii": _ascii(str.upper),
}
