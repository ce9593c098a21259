"""The kinds of values that bodies and parameters are made of, each with what it refuses."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from streams import durations, matching
from streams.clock import now_ms
from streams.errors import ExpressionError
from topology import keys, limits

# What two clocks may differ by before a time counts as future.
FUTURE_MS: Final = 5 * limits.SECOND_MS
EVENT_ONLY: Final = frozenset({"event"})
_ULID: Final = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"
_TIME_EXAMPLE: Final = "2026-01-31T12:00:00.000Z"

Json = Any


class Body(BaseModel):
    """A request's body: a misspelt field is refused, since without an `if` everything matches."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, frozen=True)


def example(**fields: Json) -> ConfigDict:
    """What the OpenAPI page shows of a model."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


def instant(value: object) -> int:
    """The ms of an RFC 3339 instant with a zone."""
    if not isinstance(value, str):
        raise PydanticCustomError("instant", "must be RFC 3339 text, such as " + _TIME_EXAMPLE)
    try:
        return durations.parse_instant(value)
    except ValueError as error:
        raise PydanticCustomError("instant", "is {reason}", {"reason": str(error)}) from None


def _past(value: int) -> int:
    if value > now_ms() + FUTURE_MS:
        raise PydanticCustomError("future", "must be in the past")
    return value


def _duration(value: object) -> int:
    try:
        return durations.parse_duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("duration", "is {reason}", {"reason": str(error)}) from None


def _no_control(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("character", "must not hold the character NUL")
    return value


def _short(value: str) -> str:
    if len(value.encode()) > limits.REASON_BYTES:
        raise PydanticCustomError("too_long", f"is over {limits.REASON_BYTES} bytes")
    return value


def expression(text: str) -> str:
    """A CEL expression over `event`, as it was written."""
    try:
        matching.check(text, EVENT_ONLY)
    except ExpressionError as error:
        message = "invalid expression: {reason} (line {line}, column {column})"
        found = {
            "reason": error.message,
            "line": error.line,
            "column": error.column,
            "position": error.position,
        }
        raise PydanticCustomError("expression", message, found) from None
    return text


def _ulid(text: str) -> str:
    return keys.run_id_text(keys.run_id_bytes(text))


def _time_schema(description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": description,
            "examples": [_TIME_EXAMPLE],
        }
    )


Instant = Annotated[int, BeforeValidator(instant), _time_schema("RFC 3339, with a zone.")]
PastInstant = Annotated[
    int,
    BeforeValidator(instant),
    AfterValidator(_past),
    _time_schema("RFC 3339, with a zone; not in the future."),
]
DurationMs = Annotated[
    int,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,15}(ms|s|m|h|d)$", "examples": ["10m"]}),
]
Text = Annotated[str, AfterValidator(_no_control)]


def _text(longest: int) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=longest)


Slug = Annotated[str, _text(limits.SLUG_CHARS), AfterValidator(_no_control)]
Name = Annotated[str, _text(limits.REQUEST_NAME_CHARS), AfterValidator(_no_control)]
EventId = Annotated[str, _text(limits.EVENT_ID_CHARS), AfterValidator(_no_control)]
Reason = Annotated[
    str,
    StringConstraints(max_length=limits.REASON_BYTES),
    AfterValidator(_no_control),
    AfterValidator(_short),
]
Ulid = Annotated[str, StringConstraints(pattern=_ULID), AfterValidator(_ulid)]
Expression = Annotated[
    Text,
    AfterValidator(expression),
    Field(description="CEL over `event`.", examples=["event.data.userId == 'user_o9235hf84hf'"]),
]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=[_TIME_EXAMPLE])]
# A row of the database, by column.
Row: TypeAlias = Mapping[Any, Any]


def time_text(ms: int) -> str:
    """RFC 3339 in UTC, always with milliseconds."""
    text = durations.format_instant(ms)
    return text if "." in text else text.replace("Z", ".000Z")


def optional_time(ms: int | None) -> str | None:
    """As `time_text`, for what may not have happened."""
    return None if ms is None else time_text(ms)
