"""What one record gives, before it is put into batches."""

from msgspec import Struct

from streams.router.record import Rejection
from topology.records import Command, Definition


class Draft(Struct):
    """One record's whole output for one partition.

    Attributes:
        commands: In order; a register's `definition` counts in `definitions` of this draft.
        event: The event's JSON, where a command needs it.
        definitions: The versions of the functions of which runs are registered.
        size: An upper bound of the bytes; set by `Batches`.
    """

    commands: list[Command] = []
    event: bytes = b""
    definitions: list[Definition] = []
    size: int = 0


class Routed(Struct):
    """One record's whole output.

    Attributes:
        drafts: By partition.
        rejections: Why the record goes to the dead letters as well.
        errors: Functions whose condition had no answer, and why (S16).
    """

    drafts: dict[int, Draft] = {}
    rejections: tuple[Rejection, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()

    def draft(self, partition: int) -> Draft:
        """The draft for a partition, a new one where there is none."""
        found = self.drafts.get(partition)
        if found is None:
            found = self.drafts[partition] = Draft()
        return found


def rejected(rejection: Rejection) -> Routed:
    """The output of a record that can't be taken at all."""
    return Routed({}, (rejection,))
