"""Dead letters as answers show them, and the cursor of what is left of their topic."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from streams.api.fields import Answer, Time, time_text
from streams.api.paging import CURSOR, decoder, encode_cursor
from streams.kafka.dead_letters import Letter, why_not
from streams.kafka.ranges import Ranges
from streams.settings import Settings

_PART: Final = r"[0-9]{1,10}-[0-9]{1,19}-[0-9]{1,19}"
_RANGES: Final = re.compile(rf"{_PART}(?:\.{_PART})*", re.ASCII)
# A partition's number is an int32 of Kafka's, an offset an int64.
_OFFSET: Final = re.compile(r"[0-9]{1,19}", re.ASCII)

Cursor = Annotated[str | None, decoder(_RANGES)]
CURSOR_FIELD: Final = CURSOR


class Origin(Answer):
    """Where the record lay; null what the letter doesn't say."""

    topic: str | None
    partition: int | None
    offset: int | None


class DeadLetter(Answer):
    """A record that could not be taken, and why."""

    partition: int
    offset: int
    time: Time
    origin: Origin
    stage: str | None = Field(description="Who refused it: router, joiner or worker.")
    class_: str | None = Field(serialization_alias="class", description="The class of error.")
    message: str | None
    bytes: int | None = Field(description="The size of its value; null: none, or it wasn't kept.")
    not_redrivable: str | None = Field(description="Why it can't be sent again; null: it can.")


class Content(Answer):
    """Bytes: as text where they are UTF-8, else in base64."""

    text: str | None = None
    base64: str | None = None


class Header(Answer):
    """A header of the record."""

    name: str
    value: Content | None


class WholeLetter(DeadLetter):
    """A dead letter with the record's own bytes."""

    key: Content | None
    value: Content | None
    headers: list[Header]


def dead_letter(letter: Letter, settings: Settings) -> DeadLetter:
    """A letter in a list."""
    return DeadLetter(**_fields(letter, settings))


def whole_letter(letter: Letter, settings: Settings) -> WholeLetter:
    """A letter with all that it has."""
    return WholeLetter(
        **_fields(letter, settings),
        key=content(letter.key),
        value=content(letter.value),
        headers=[Header(name=name, value=content(value)) for name, value in letter.headers],
    )


def content(data: bytes | None) -> Content | None:
    """Bytes as JSON can hold them."""
    if data is None:
        return None
    try:
        return Content(text=data.decode())
    except UnicodeDecodeError:
        return Content(base64=base64.b64encode(data).decode())


def cursor_of(ranges: Ranges) -> str | None:
    """The cursor of what is left; None if nothing is."""
    parts = (f"{one}-{begin}-{end}" for one, (begin, end) in sorted(ranges.items()))
    return encode_cursor(".".join(parts) or None)


def ranges_left(cursor: str | None) -> Ranges | None:
    """What a cursor's text, as `Cursor` gives it, says is left."""
    if cursor is None:
        return None
    parts = (part.split("-") for part in cursor.split("."))
    return {int(one): (int(begin), int(end)) for one, begin, end in parts}


def _fields(letter: Letter, settings: Settings) -> dict[str, Any]:
    error = letter.error
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "time": time_text(letter.time),
        "origin": Origin(
            topic=error.get("topic"),
            partition=_number(error, "partition"),
            offset=_number(error, "offset"),
        ),
        "stage": error.get("stage"),
        "class_": error.get("class"),
        "message": error.get("message"),
        "bytes": None if letter.value is None else len(letter.value),
        "not_redrivable": why_not(letter, settings),
    }


def _number(error: Mapping[str, str], name: str) -> int | None:
    text = error.get(name, "")
    return int(text) if _OFFSET.fullmatch(text) else None
