"""The commands of one record before they are put into batches."""

from msgspec import Struct

from streams.router.record import Rejection
from topology.records import Command, Definition, Listener, Register


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


class Registration(Struct, frozen=True):
    """The output of a record that does one thing: start a run which waits in its home alone.

    Most events do, so these few fields are all that is made of them. A function says whether its
    runs wait like this (`CompiledFunction.waits_at_home`), and a route whether an event does
    nothing else (`FunctionRoute.only_starts`).
    """

    partition: int
    definition: Definition
    run_id: bytes
    event_key: bytes
    listeners: tuple[Listener, ...]
    event: bytes
    identity: bytes

    def command(self, definition: int) -> Register:
        """The command, whose definition has this number in its batch or draft."""
        return Register(definition, self.run_id, self.event_key, self.listeners)

    def routed(self) -> Routed:
        """The same as that of any record."""
        draft = Draft([self.command(0)], self.event, [self.definition])
        return Routed({self.partition: draft}, (), (), self.identity)


def rejected(rejection: Rejection) -> Routed:
    """The output of a record that is refused as a whole."""
    return Routed({}, (rejection,))
