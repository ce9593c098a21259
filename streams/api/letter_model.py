"""Dead letters: what may be asked for, how answers show them, the cursor of what is left."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from streams.api.fields import Answer, Body, Instant, Reason, Text, Time, example, time_text
from streams.api.paging import CURSOR, Listing, PageMetadata, decoder, encode_cursor
from streams.kafka.dead_letters import Letter, Wanted, why_not
from streams.kafka.ranges import Ranges
from streams.settings import Settings

_PART: Final = r"[0-9]{1,10}-[0-9]{1,19}-[0-9]{1,19}"
_RANGES: Final = re.compile(rf"(?:{_PART}(?:\.{_PART})*)?", re.ASCII)
# A partition's number is an int32 of Kafka's, an offset an int64.
_OFFSET: Final = re.compile(r"[0-9]{1,19}", re.ASCII)

# How many letters a redrive may name.
MOST_NAMED: Final = 20

Cursor = Annotated[str | None, decoder(_RANGES)]
Position = Annotated[str, StringConstraints(pattern="^[0-9]{1,10}:[0-9]{1,19}$")]


class LetterFilter(Body):
    """Which dead letters are meant."""

    class_: Text | None = Field(default=None, alias="class", description="The class of error.")
    topic: Text | None = Field(default=None, description="The topic, by full name, of the record.")
    stage: Text | None = Field(default=None, description="Who refused it.")
    after: Instant | None = Field(default=None, description="Later than this.")
    before: Instant | None = Field(default=None, description="Earlier than this.")
    cursor: Cursor = CURSOR


class LetterListing(LetterFilter, Listing):
    """Which dead letters to list, and how many."""


class RedriveBody(Body):
    """Which dead letters to send again: some by their places, or all of a class."""

    model_config = example(**{"class": "no_json", "dry_run": True, "reason": "parser is mended"})

    # First, since what else may be said depends on it.
    letters: list[Position] | None = Field(
        None,
        min_length=1,
        max_length=MOST_NAMED,
        description="Their places: `partition:offset`.",
        examples=[["0:17"]],
    )
    class_: Text | None = Field(
        None, alias="class", validate_default=True, description="All of this class of error."
    )
    topic: Text | None = Field(None, description="Only records of this topic, by its full name.")
    stage: Text | None = Field(None, description="Only what this stage refused.")
    after: Instant | None = Field(None, description="Only letters later than this.")
    before: Instant | None = Field(None, description="Only letters earlier than this.")
    cursor: Cursor = Field(
        None,
        description="`next_cursor` of the call before; or `cursor` of a count or a dry run, to "
        "send what it counted and no letter that came later.",
    )
    dry_run: bool = Field(default=False, description="Count, send nothing.")
    reason: Reason | None = Field(None, description="Why.")

    @field_validator("class_", "topic", "stage", "after", "before", "cursor")
    @classmethod
    def _one_way(cls, value: object, info: ValidationInfo) -> object:
        if "letters" not in info.data:  # wrong itself: who knows what was meant
            return value
        if info.data["letters"] is not None and value is not None:
            raise PydanticCustomError("conflict", "can't stand beside letters")
        return value

    @field_validator("class_")
    @classmethod
    def _something(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("letters", ()) is None:
            raise PydanticCustomError("required", "is required, or letters")
        return value


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


class LetterPageMetadata(PageMetadata):
    """About a page of dead letters."""

    scanned: int = Field(description="How many letters were looked at.")


class LetterPage(Answer):
    """A page of dead letters; it may hold fewer than `limit`, or none, and yet have a next one."""

    data: list[DeadLetter]
    metadata: LetterPageMetadata


class PortionMetadata(LetterPageMetadata):
    """About a call that looks at a portion; while there is a `next_cursor`, more is to come."""

    cursor: str | None = Field(
        description="What this call began with: sent as `cursor`, the same letters are meant. "
        "Null where they were named."
    )


class ClassCount(Answer):
    """How many dead letters of a class there are."""

    class_: str | None = Field(
        serialization_alias="class", description="The class of error; null: they say none."
    )
    letters: int
    redrivable: int = Field(description="How many of them can be sent again.")


class ClassCounts(Answer):
    """The classes of a portion of the letters; those with the most letters come first."""

    data: list[ClassCount]
    metadata: PortionMetadata


class Redriven(Answer):
    """What one call has sent again, or would have."""

    found: int = Field(description="How many letters fit.")
    sent: int = Field(description="How many Kafka has acknowledged; 0 in a dry run.")
    skipped: int = Field(description="How many can't be sent again.")
    why_skipped: dict[str, int] = Field(description="How many for which reason.")
    topics: dict[str, int] = Field(description="How many go to which topic.")
    dry_run: bool


class RedriveAnswer(Answer):
    """What was sent again, and what is left."""

    data: Redriven
    metadata: PortionMetadata


def wanted_by(asked: LetterFilter | RedriveBody) -> Wanted:
    """The filter that was asked for."""
    return Wanted(
        kind=asked.class_,
        stage=asked.stage,
        topic=asked.topic,
        after=asked.after,
        before=asked.before,
    )


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


def cursor_of(ranges: Ranges | None) -> str | None:
    """The cursor of ranges, also of none at all; None has no cursor."""
    if ranges is None:
        return None
    parts = (f"{one}-{begin}-{end}" for one, (begin, end) in sorted(ranges.items()))
    return encode_cursor(".".join(parts))


def ranges_left(cursor: str | None) -> Ranges | None:
    """What a cursor's text, as `Cursor` gives it, says is left."""
    if cursor is None:
        return None
    parts = (part.split("-") for part in cursor.split(".") if part)
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
