"""Types of fields in JSON records that anybody may write: what is beyond them is refused (S38)."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from topology import limits
from topology.keys import TIME_END_MS

# A time in ms since 1970, a number of runs, and a duration in ms.
Time: TypeAlias = Annotated[int, Meta(ge=0, lt=TIME_END_MS)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=limits.COUNT)]
Duration: TypeAlias = Annotated[int, Meta(ge=0, le=limits.LONGEST_MS)]
# Announcements write names of apps and functions into JSON as they are.
Name: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=limits.SLUG_CHARS)
]
EventName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.EVENT_NAME_CHARS)]
# What a version of a function means by its rules: more are no level, but damage.
Level: TypeAlias = Annotated[int, Meta(ge=1, le=255)]
