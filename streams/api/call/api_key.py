"""An API key as it may be shown."""

from dataclasses import dataclass

from streams.api.call.roles import Role


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key."""

    id: str
    name: str
    role: Role
    created_at: int
    revoked_at: int | None
