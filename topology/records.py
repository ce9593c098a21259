"""The records of the topics.

Users and other programs see JSON records (design sections 2 and 3). Command batches and forwards
are internal: msgpack arrays that joiners read, from routers and from each other. Times are integers
in ms. Ids of runs and requests are 16 bytes in internal records (`topology.keys`), ULIDs of 26
characters in JSON.
"""

from typing import Annotated, Any, Final, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from topology import limits
from topology.fields import Duration, EventName, Level, Name, Time

Json: TypeAlias = Any


# The class of dead letters of events for which a function's expression takes too much (S37).
EVALUATION_BUDGET: Final = "evaluation_budget"
# The header with the identity of an event, in hex digits, that a joiner's dead letter keeps.
IDENTITY_HEADER: Final = "countermand-identity"
# The newest level: what a version of a function means by its rules. From level 2 on an event is
# known by its identity (S3, S10), where level 1 takes its id alone.
SEMANTICS: Final = 2


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What starts a run: an event's name and, where given, a condition on the event."""

    event: EventName
    if_: str | None = field(default=None, name="if")


class CancelRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events cancel a run: exactly one of `match`, `if_` and `all_runs` is set, or both last.

    With `if_` alone or beside `all_runs` it is the condition; `all_runs` only says that it is for
    every run.
    A cancel event doesn't match later than `timeout_ms` after the run's received time, or later
    than the time `timeout_at` (S13). A repeat of it within `dedupe_ms` of the first cancels only
    what the first could (S36).
    """

    event: EventName
    match: str | None = None
    if_: str | None = field(default=None, name="if")
    all_runs: bool = False
    timeout_ms: Duration | None = None
    timeout_at: Time | None = None
    early_cancel_ms: Duration = 0
    dedupe_ms: Duration = 0

    @property
    def expression(self) -> str | None:
        """The rule as an expression over `event` and `async`; None if it matches every run."""
        return f"event.{self.match} == async.{self.match}" if self.match else self.if_


class Function(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named unit of work: one record of the topic `functions`.

    `semantics` is its level; a release refuses levels that it doesn't know. `remote` marks one that
    an app of another SDK has registered: no file and no worker may take its name.
    """

    v: int = 1
    app: Name
    id: Name
    triggers: Annotated[tuple[Trigger, ...], Meta(max_length=limits.TRIGGERS)] = ()
    cancel_on: Annotated[tuple[CancelRule, ...], Meta(max_length=limits.CANCEL_RULES)] = ()
    start_timeout_ms: Duration | None = None
    finish_timeout_ms: Duration | None = None
    lease_ms: Duration | None = None
    pending_for_ms: Duration = limits.PENDING_FOR_MS
    retention_ms: Duration = limits.RETENTION_MS
    semantics: Level = 1
    remote: bool = False

    @property
    def slug(self) -> str:
        """The function's name in topics, in the API and on the command line."""
        return f"{self.app}-{self.id}"


class Topic(Struct, array_like=True, frozen=True):
    """A topic and its id; a topic that is deleted and created again has another id."""

    name: str
    id: bytes


class Definition(Struct, array_like=True, frozen=True):
    """One version of a function; `body` is the JSON of a `Function`."""

    slug: str
    version: int
    body: bytes


class Listener(Struct, array_like=True, frozen=True):
    """A run waits under a match key for cancels of a rule, received until `until` (0: no end)."""

    key: bytes
    rule: int
    until: int


class Match(Struct, array_like=True, frozen=True):
    """The entry's event may cancel runs that wait under `key`.

    The event is held for late runs until the watermark has passed its received time + `hold_ms`.
    `everywhere`: runs may wait under the key in every partition. `dedupes` are the different
    `dedupe` times (ms) of the rules behind the key (S36).
    """

    key: bytes
    hold_ms: int = 0
    everywhere: bool = False
    dedupes: tuple[int, ...] = ()


class Register(Struct, array_like=True, frozen=True, tag="register"):
    """The entry's event starts a run whose home is this partition.

    `definition` is an index into the batch's definitions. `listeners` are all of the run's; the
    first with an equality key gives its home. `cancels` is what the same event cancels of the same
    function (S10). `dispatch_at` is 0 or a time in the future. For a replay, `replay_of` is the run
    that is replayed and `replay_id` the request (S29).
    """

    definition: int
    run_id: bytes
    event_key: bytes
    listeners: tuple[Listener, ...] = ()
    cancels: tuple[Match, ...] = ()
    dispatch_at: int = 0
    replay_of: bytes = b""
    replay_id: bytes = b""


class Listen(Struct, array_like=True, frozen=True, tag="listen"):
    """A run with another home listens in this partition."""

    run_id: bytes
    listeners: tuple[Listener, ...]


class Cancel(Struct, array_like=True, frozen=True, tag="cancel"):
    """The entry's event may cancel the runs that wait under these keys of this partition."""

    matches: tuple[Match, ...]


class Update(Struct, array_like=True, frozen=True, tag="update"):
    """A worker's update of a run: by run id and attempt, or by event key (`run_id` is empty)."""

    run_id: bytes
    event_key: bytes
    status: str
    attempt: int = 0
    worker: str = ""
    step: str = ""
    until: int = 0
    error: tuple[str, str] | None = None


class Request(Struct, array_like=True, frozen=True):
    """What all requests have: their id, who asks, and why."""

    id: bytes
    by: str
    reason: str | None = None


class CancelRuns(Struct, array_like=True, frozen=True, tag="cancel_runs"):
    """Cancel the unfinished runs of a function received between two times, both exclusive (S18).

    `condition` is an expression over `event`, where there is one.
    """

    request: Request
    function: str
    after: int
    before: int
    condition: str | None = None
    dry_run: bool = False


class StopCancellation(Struct, array_like=True, frozen=True, tag="stop_cancellation"):
    """Stop a cancellation: it cancels no more runs (S22)."""

    request: Request
    cancellation: bytes


class CancelRun(Struct, array_like=True, frozen=True, tag="cancel_run"):
    """Cancel one run (S26)."""

    request: Request
    run_id: bytes


class Pause(Struct, array_like=True, frozen=True, tag="pause"):
    """Pause a function: it starts no more runs (S28).

    Its unfinished runs are cancelled `now`, `later` (after `after_ms`) or `never`: `running`.
    """

    request: Request
    function: str
    running: str
    after_ms: int


class Resume(Struct, array_like=True, frozen=True, tag="resume"):
    """End a function's pause."""

    request: Request
    function: str


class Replay(Struct, array_like=True, frozen=True, tag="replay"):
    """Run a function's runs again that were received between two times, both exclusive (S29).

    Only runs in one of the `statuses`; with a `cancellation`, only runs that it cancelled; with a
    `run`, only that one.
    """

    request: Request
    function: str
    after: int
    before: int
    statuses: tuple[str, ...]
    cancellation: bytes = b""
    spread_ms: int = 0
    dry_run: bool = False
    run: bytes = b""


class Complete(Struct, array_like=True, frozen=True):
    """A router has sent everything of a source up to an offset and a received time."""

    topic: int
    partition: int
    offset: int
    time: int


# Requests that joiners work off in slices, each with a row; joiners decide the others at once.
LongRequest: TypeAlias = CancelRuns | Pause | Replay
Asked: TypeAlias = LongRequest | StopCancellation | CancelRun | Resume
Command: TypeAlias = Register | Listen | Cancel | Update | Asked


class Entry(Struct, array_like=True, frozen=True):
    """All commands that one input record has for one partition; applied as a whole, and once.

    `topic` is an index into the batch's topics, `received` is the record's received time, `event`
    is the event's normalised JSON (empty if no command needs it), `identity` is the event's (empty
    from an older router).
    """

    topic: int
    partition: int
    offset: int
    received: int
    event: bytes
    commands: tuple[Command, ...]
    identity: bytes = b""


class CommandBatch(Struct, array_like=True, frozen=True):
    """One record of the topic `commands`.

    `progress` says how far the router is complete, per source.
    """

    topics: tuple[Topic, ...] = ()
    definitions: tuple[Definition, ...] = ()
    entries: tuple[Entry, ...] = ()
    progress: tuple[Complete, ...] = ()


class Position(Struct, array_like=True, frozen=True):
    """Where an input record lies."""

    topic: str
    topic_id: bytes
    partition: int
    offset: int


class FirstOccurrence(Struct, array_like=True, frozen=True):
    """The first occurrence of a cancel event, for rules with a `dedupe` of so many ms (S36).

    `triggers`: see `CancelEvent`.
    """

    dedupe_ms: int
    received: int
    position: Position
    triggers: bool = False


class CancelEvent(Struct, array_like=True, frozen=True):
    """A cancel event on its way to the runs that it may cancel.

    `received` and `position` order it against runs (S9); for a repeat they are those of the first
    occurrence (S10). `at` is the event's own position. `triggers`: the event also starts a run of
    the same function, so positions decide where received times are equal. `identity` is the event's
    (empty from an older release). `firsts` are set where it is a repeat for rules with `dedupe`.
    `at_received` is the received time of the record at `at` (0 from an older release).
    """

    received: int
    position: Position
    event: bytes
    at: Position
    triggers: bool = False
    identity: bytes = b""
    firsts: tuple[FirstOccurrence, ...] = ()
    at_received: int = 0

    @property
    def own_received(self) -> int | None:
        """The received time of the event's own record; None if an older release left it out."""
        if self.at_received:
            return self.at_received
        return self.received if self.at == self.position else None


class ForwardedMatch(Struct, array_like=True, frozen=True, tag="match"):
    """A cancel event found listeners in another partition; the runs' home (this one) decides.

    `hits` are pairs of a run's id and the index of a rule.
    """

    cancel: CancelEvent
    hits: tuple[tuple[bytes, int], ...]


class ForwardedCancel(Struct, array_like=True, frozen=True, tag="cancel"):
    """A cancel event that also starts a run, sent on by the run's home."""

    cancel: CancelEvent
    matches: tuple[Match, ...]


class Unlisten(Struct, array_like=True, frozen=True, tag="unlisten"):
    """A run with another home ended, or was refused: it no longer listens in this partition."""

    run_id: bytes
    keys: tuple[bytes, ...]


Forward: TypeAlias = ForwardedMatch | ForwardedCancel | Unlisten


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run failed, in the worker's words."""

    name: str
    message: str = ""


class BeatenRun(Struct, frozen=True, kw_only=True):
    """One of the runs of a heartbeat."""

    run_id: str
    attempt: int


class RunUpdate(Struct, frozen=True, kw_only=True):
    """A record of the topic `run-updates` (design 2.3); workers write it."""

    status: str
    run_id: str | UnsetType = UNSET
    function_id: str | UnsetType = UNSET
    event_id: str | UnsetType = UNSET
    attempt: int | UnsetType = UNSET
    worker: str = ""
    step: str | None = None
    until: int | None = None
    error: Failure | None = None
    runs: tuple[BeatenRun, ...] = ()
    at: Time | None = None
    v: int = 1


class Replayed(Struct, frozen=True, kw_only=True):
    """A record of the topic `replayed`: the event of a run that is to run once more.

    `identity` is the event's in hex digits; empty where the run was registered at level 1.
    """

    function_id: str
    event: Raw
    replay_of: str
    replay_id: str
    dispatch_at: Time = 0
    identity: str = ""
    v: int = 1


class StepFailure(Struct, frozen=True, kw_only=True):
    """A step that failed for good, as its `StepError` says."""

    code: str
    message: str
    attempts: int


class StepRecord(Struct, frozen=True, kw_only=True):
    """A record of the topic `steps`: the outcome of a step, for later attempts of its run.

    Exactly one is set: `result` (any JSON), `error`, or `wake_at` for a sleep. `title` is what
    `runs` shows of it instead of its name; empty: nothing.
    """

    run_id: str
    step: str
    attempt: int
    title: str | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: StepFailure | UnsetType = UNSET
    wake_at: int | UnsetType = UNSET
    v: int = 1


class RunRecord(Struct, frozen=True, kw_only=True):
    """What workers need of a record of the topic `runs` (design 2.2)."""

    run_id: str
    function_id: str
    app_id: str
    status: str
    attempt: int
    dispatch: bool
    scheduled_at: int
    event: Raw
    worker: str | None = None
    cause: Json = None
    error: Json = None
    stopped_at: int | None = None
