"""An API key as it may be shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key.

    `role` is a `Role`, or that of a newer release, which this one doesn't know: such a key may do
    nothing here.
    """

    id: str
    name: str
    role: str
    created_at: int
    revoked_at: int | None
