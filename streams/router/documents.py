"""Reads JSON objects that can be passed on exactly, and the values of events in them.

Every event comes through here, so cheap tests decide whether an expensive one is needed.
"""

import json
from contextlib import suppress
from typing import Any, Final

import orjson

from streams.durations import parse_rfc_3339
from streams.router.record import Document, RejectedError
from topology import limits
from topology.keys import TIME_END_MS

# orjson reads deeper JSON, but can't write it, and most consumers can't read it.
NESTING: Final = 200
# Every level takes two brackets.
_NESTING_BYTES: Final = 2 * NESTING
_LARGEST: Final = 2**63 - 1
_SMALLEST: Final = -(2**63)
# Digits and sign of both; longer numbers have more than 64 bits.
_LONGEST: Final = 20
# orjson silently reads integers beyond 64 bits as doubles. All of them have at least 19 digits, and
# few events have so many in a row; this search takes a quarter of the time of a pattern.
_LONG_RUN: Final = b"0" * 19
_DIGITS_TO_ZERO: Final = bytes(ord("0") if chr(byte).isdecimal() else 32 for byte in range(256))
# What may stand before a number; text has a quote or a letter before its digits.
_BEFORE_NUMBER: Final = frozenset(b"[:, \t\n\r")
_MINUS: Final = ord("-")
_KINDS: Final = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


def load(value: bytes | None, limit: int) -> Document:
    """The JSON object of some bytes.

    Raises:
        RejectedError: the bytes are no JSON object, more than `limit`, nested too deeply, or hold a
            number that can't be passed on exactly.
    """
    if value is None:
        raise RejectedError("no_value", "the record has no value")
    if len(value) > limit:
        raise RejectedError("too_large", f"{len(value)} bytes: at most {limit} are accepted")
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise RejectedError("not_json", f"not JSON: {error}") from None
    if type(document) is not dict:
        raise RejectedError("not_an_object", f"not a JSON object but a {kind_of(document)}")
    if len(value) > _NESTING_BYTES and value.count(b"[") + value.count(b"{") > NESTING:
        _check_nesting(document)
    zeros = value.translate(_DIGITS_TO_ZERO)
    if _LONG_RUN in zeros and _has_long_number(value, zeros):
        _check_integers(value)
    return document


def dump(document: Document, limit: int) -> bytes:
    """The JSON of a document that was read by `load` and then added to.

    Raises:
        RejectedError: the JSON has more than `limit` bytes.
    """
    body = orjson.dumps(document)
    if len(body) > limit:
        message = f"{len(body)} bytes with id and ts: at most {limit} are accepted"
        raise RejectedError("too_large", message)
    return body


def name(value: object) -> str:
    """An event's name.

    Raises:
        RejectedError: It is none.
    """
    if value is None or value == "":
        raise RejectedError("no_name", "the event has no name")
    if type(value) is not str:
        raise RejectedError("no_name", f"name is a {kind_of(value)}: text is needed")
    if len(value) > limits.EVENT_NAME_CHARS:
        message = f"name of {len(value)} characters: at most {limits.EVENT_NAME_CHARS} are accepted"
        raise RejectedError("name_too_long", message)
    return value


def event_id(value: object) -> str:
    """An event's id.

    Raises:
        RejectedError: It is none.
    """
    if type(value) is not str or not 0 < len(value) <= limits.EVENT_ID_CHARS:
        what = f"text of {len(value)} characters" if type(value) is str else kind_of(value)
        message = f"id is a {what}: text of 1 to {limits.EVENT_ID_CHARS} characters is needed"
        raise RejectedError("bad_id", message)
    return value


def source(value: object) -> str:
    """An event's source; empty where it says none.

    Raises:
        RejectedError: It is no text.
    """
    if value is None:
        return ""
    if type(value) is not str:
        raise RejectedError("bad_source", f"source is a {kind_of(value)}: text is needed")
    return value


def data(value: object) -> Document:
    """An event's data: an object, where there is none an empty one.

    Raises:
        RejectedError: It is something else.
    """
    if value is None:
        return {}
    if type(value) is not dict:
        message = f"data is not an object but a {kind_of(value)}"
        raise RejectedError("data_not_an_object", message)
    return value


def time_ms(value: object) -> int:
    """A time: an integer of ms since 1970, or RFC 3339 text.

    Raises:
        RejectedError: It is neither, or lies outside of the years 1970 to 10889.
    """
    if type(value) is int and 0 <= value < TIME_END_MS:
        return value
    if type(value) is str:
        with suppress(ValueError):
            found = parse_rfc_3339(value) // 1_000_000
            if found >= 0:
                return found
    message = (
        f"{_shown(value)} is no time: ms since 1970 as an integer, or RFC 3339 text, is needed"
    )
    raise RejectedError("bad_ts", message)


def kind_of(value: object) -> str:
    """JSON's name for the type of a value."""
    return _KINDS.get(type(value), "value")


def _shown(value: object) -> str:
    return repr(value)[:64] if isinstance(value, str | int | float) else f"a {kind_of(value)}"


def _has_long_number(value: bytes, zeros: bytes) -> bool:
    """Whether so many digits stand where a number may; ids of many digits are common, it isn't."""
    at = zeros.find(_LONG_RUN)
    while at >= 0:
        before = value[at - 1]  # a document begins with no digit
        if before in _BEFORE_NUMBER or before == _MINUS:
            return True
        at = zeros.find(_LONG_RUN, zeros.find(b" ", at))
    return False


def _check_integers(value: bytes) -> None:
    # The digits may be part of a string or a fraction: only a parser can tell.
    json.loads(value.decode(), parse_int=_checked)


def _checked(digits: str) -> None:
    # Python refuses to convert thousands of digits.
    if len(digits) > _LONGEST or not _SMALLEST <= int(digits) <= _LARGEST:
        message = f"the integer {digits[:24]} has more than 64 bits: send it as text"
        raise RejectedError("integer_too_large", message)


def _check_nesting(document: Document) -> None:
    level: list[Any] = [document]
    for _ in range(NESTING):
        level = [
            member
            for value in level
            for member in (value.values() if type(value) is dict else value)
            if type(member) is dict or type(member) is list
        ]
        if not level:
            return
    raise RejectedError("too_deep", f"nested deeper than {NESTING} levels")
