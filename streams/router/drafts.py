"""The commands of one record before they are put into batches."""

from msgspec import Struct

from streams.router.record import Rejection
from topology.records import Command, Definition


class Draft(Struct):
    """The output of one record for one partition.

    Attributes:
        commands: In order; the `definition` of a `Register` is an index into `definitions`.
        event: The event's JSON; empty where no command needs it.
        definitions: The versions of the functions of which runs are registered.
        size: An upper bound of the bytes; set by `Batches`.
    """

    commands: list[Command] = []
    event: bytes = b""
    definitions: list[Definition] = []
    size: int = 0


class Routed(Struct):
    """The output of one record.

    Attributes:
        drafts: By partition.
        identity: The event's, if it is one (`topology.keys.event_identity`).
        rejections: Why the record also goes to the dead letters.
        errors: Functions whose condition had no answer, and why (S16).
    """

    drafts: dict[int, Draft] = {}
    rejections: tuple[Rejection, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    identity: bytes = b""

    def draft(self, partition: int) -> Draft:
        """The draft for a partition; made if there is none yet."""
        draft = self.drafts.get(partition)
        if draft is None:
            draft = self.drafts[partition] = Draft()
        return draft


def rejected(rejection: Rejection) -> Routed:
    """The output of a record that is refused as a whole."""
    return Routed({}, (rejection,))
