"""What the pages offer a visitor."""

from dataclasses import dataclass

from streams.api.call.api_key import ApiKey
from streams.api.call.roles import Role


@dataclass(frozen=True, slots=True)
class May:
    """What a visitor is offered; the API has the last word on each call."""

    operate: bool
    administer: bool
    read_audit: bool
    read_system: bool

    @classmethod
    def of(cls, caller: ApiKey, *, read_only: bool) -> "May":
        """As the role says; where the pages are read-only, nothing that writes."""
        known = [role for role in Role if role == caller.role]
        covers = [needed for needed in Role if known and known[0].covers(needed)]
        writes = not read_only
        return cls(
            operate=writes and Role.OPERATOR in covers,
            administer=writes and Role.ADMIN in covers,
            read_audit=Role.ADMIN in covers,
            read_system=Role.OPERATOR in covers,
        )
