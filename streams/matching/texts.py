"""CEL's extension for strings, on decoded JSON: what the compiled closures call.

A position counts characters from 0, and may be the end of the text; any other is an error, where
Python counts from the end or gives less. What a function makes is charged before, as what it reads.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from streams.errors import EvaluationError
from streams.matching import budget, limits
from streams.matching.budget import Meter
from streams.matching.operators import no_overload
from topology.records import Json

# From the meter, the receiver and the arguments to the result.
Function: TypeAlias = Callable[..., Json]

# White space as Unicode has it. Python's own also has the separators U+001C to U+001F.
SPACES: Final = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# An argument that need not be there. No value of JSON is this one, where null is one.
_LEFT_OUT: Final = object()


def _char_at(_meter: Meter, text: Json, position: Json) -> str:
    if type(text) is not str:
        raise no_overload("charAt", text, position)
    _check_position(text, position)
    return text[position : position + 1]


def _index_of(meter: Meter, text: Json, part: Json, first: Json = 0) -> int:
    if type(text) is not str or type(part) is not str:
        raise no_overload("indexOf", text, part)
    _check_position(text, first)
    meter.charge(budget.PARTS + budget.cost_of_searches(text, part))
    return text.find(part, first)


def _last_index_of(meter: Meter, text: Json, part: Json, last: Json = _LEFT_OUT) -> int:
    if type(text) is not str or type(part) is not str:
        raise no_overload("lastIndexOf", text, part)
    if last is _LEFT_OUT:
        last = len(text)
    _check_position(text, last)
    meter.charge(budget.PARTS + budget.cost_of_search_backwards(text, part))
    return text.rfind(part, 0, last + len(part))


def _substring(meter: Meter, text: Json, start: Json, end: Json = _LEFT_OUT) -> str:
    if type(text) is not str:
        raise no_overload("substring", text, start)
    if end is _LEFT_OUT:
        end = len(text)
    _check_position(text, start)
    _check_position(text, end)
    if start > end:
        raise EvaluationError("the end of a substring is before its start")
    meter.charge(budget.PARTS + (end - start) * budget.MADE_CHAR)
    return text[start:end]


def _check_position(text: str, position: Json) -> None:
    if type(position) is not int or not 0 <= position <= len(text):
        raise EvaluationError("a position that is not in the text")


def _lower_ascii(meter: Meter, text: Json) -> str:
    if type(text) is not str:
        raise no_overload("lowerAscii", text)
    meter.charge(len(text) * budget.MADE_CHAR)
    # The bytes of characters beyond ASCII are beyond ASCII.
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _upper_ascii(meter: Meter, text: Json) -> str:
    if type(text) is not str:
        raise no_overload("upperAscii", text)
    meter.charge(len(text) * budget.MADE_CHAR)
    return text.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def _trim(meter: Meter, text: Json) -> str:
    if type(text) is not str:
        raise no_overload("trim", text)
    meter.charge(len(text) * budget.MADE_CHAR)
    return text.strip(SPACES)


def _replace(meter: Meter, text: Json, part: Json, by: Json, most: Json = -1) -> str:
    if type(text) is not str or type(part) is not str or type(by) is not str:
        raise no_overload("replace", text, part, by)
    # Python counts what it will replace once more.
    meter.charge(budget.PARTS + 3 * budget.cost_of_searches(text, part))
    times = _at_most(text.count(part), most)
    length = len(text) + times * (len(by) - len(part))
    _charge_text(meter, length, len(text), times * budget.FOUND)
    return text.replace(part, by, times)


def _split(meter: Meter, text: Json, by: Json, most: Json = -1) -> list[str]:
    if type(text) is not str or type(by) is not str:
        raise no_overload("split", text, by)
    meter.charge(budget.PARTS + 2 * budget.cost_of_searches(text, by))
    parts = _at_most(text.count(by) + 1 if by else len(text), most)
    each = budget.FOUND + budget.MADE_ITEM + budget.MADE_TEXT
    meter.charge(parts * each + len(text) * budget.MADE_CHAR)
    if parts == 0:
        return []
    if not by:
        return [*text[: parts - 1], text[parts - 1 :]]
    return text.split(by, parts - 1)


def _at_most(times: int, most: Json) -> int:
    """Give the number of times, but no more than `most` unless that is negative."""
    if type(most) is not int:
        raise EvaluationError("a limit that is not an integer")
    return times if most < 0 or most > times else most


def _join(meter: Meter, items: Json, by: Json = "") -> str:
    if type(items) is not list or type(by) is not str:
        raise no_overload("join", items, by)
    meter.charge(budget.PARTS + len(items) * budget.JOINED)
    if not set(map(type, items)) <= {str}:
        raise EvaluationError("join: an item is not a string")
    _charge_text(meter, sum(map(len, items)) + len(by) * max(0, len(items) - 1))
    return by.join(items)


def _charge_text(meter: Meter, length: int, instead_of: int = 0, found: int = 0) -> None:
    """Charge a text that is made, instead of another which it may be as long as."""
    if length > limits.CONCATENATION_LENGTH and length > instead_of:
        raise EvaluationError("the result is too long")
    meter.charge(length * budget.MADE_CHAR + found)


FUNCTIONS: Final[dict[str, Function]] = {
    "charAt": _char_at,
    "indexOf": _index_of,
    "join": _join,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _lower_ascii,
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": _trim,
    "upperAscii": _upper_ascii,
}
