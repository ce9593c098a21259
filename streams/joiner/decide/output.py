"""What a decision sends to topics."""

from typing import TypeAlias

from msgspec import Struct

Headers: TypeAlias = list[tuple[str, str | bytes | None]]


class Output(Struct, frozen=True):
    """One record for a topic's partition of the deciding partition's number.

    `topic` is the name without the prefix of settings.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
