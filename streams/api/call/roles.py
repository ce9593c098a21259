"""What a key may do."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """The roles. They are no ladder: a sender may send events, not read; a viewer the reverse."""

    SENDER = "sender"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what `needed` may."""
        return needed in _COVERED[self]


_COVERED: Final[Mapping[Role, frozenset[Role]]] = {
    Role.SENDER: frozenset({Role.SENDER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.SENDER, Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}
