"""CEL's conversions between the scalars of JSON: `string(event.data.id) == async.data.id`.

Strict where Python is loose: `int("1_0")`, `int(" 1")` and `int` of a double beyond 64 bits have
no answer.
"""

import re
from collections.abc import Callable
from typing import Final

from streams.errors import EvaluationError
from streams.matching import budget
from streams.matching.budget import Meter
from topology.records import Json

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_DOUBLE: Final = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}
_INT64: Final = 2**63
# Integral doubles below this are written without a point and an exponent.
_PLAIN: Final = 1e21


def _to_int(value: object) -> int:
    if type(value) is int:
        return value
    # Without -2^63, as specified: a double of that size may be a rounded one.
    if type(value) is float and abs(value) < _INT64:
        return int(value)
    if type(value) is str and _INTEGER.fullmatch(value):
        number = int(value)
        if -_INT64 <= number < _INT64:
            return number
    raise EvaluationError("int: no answer for this value")


def _to_double(value: object) -> float:
    if type(value) is int or type(value) is float:
        return float(value)
    if type(value) is str and _DOUBLE.fullmatch(value):
        return float(value)
    raise EvaluationError("double: no answer for this value")


def _to_string(value: object) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return str(int(value)) if value.is_integer() and abs(value) < _PLAIN else repr(value)
    raise EvaluationError("string: no answer for this value")


def _to_bool(value: object) -> bool:
    known = value if type(value) is bool else None
    if type(value) is str:
        known = _BOOLEANS.get(value)
    if known is None:
        raise EvaluationError("bool: no answer for this value")
    return known


def _charged(convert: Callable[[object], Json]) -> Callable[[Json, Meter], Json]:
    def converted(value: Json, meter: Meter) -> Json:
        if type(value) is str:
            meter.charge(len(value) * budget.READ_CHAR)
        elif type(value) is float:
            meter.charge(budget.WRITTEN_DOUBLE)
        return convert(value)

    return converted


CONVERSIONS: Final[dict[str, Callable[[Json, Meter], Json]]] = {
    "int": _charged(_to_int),
    "double": _charged(_to_double),
    "string": _charged(_to_string),
    "bool": _charged(_to_bool),
}
