"""The records of the topics.

JSON records are what users and other programs see (design sections 2 and 3). Command batches are
internal: msgpack arrays that routers write and joiners read, and that joiners write for each other.
Times are ms integers, ids of runs are 16 bytes inside (`topology.keys`) and 26 characters outside.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType, field

from topology import limits

Json: TypeAlias = Any


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What starts a run: an event's name and, where given, a condition on the event."""

    event: str
    if_: str | None = field(default=None, name="if")


class CancelRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events cancel a run: exactly one of `match`, `if_` and `all_runs` is set.

    `timeout_ms` counts from the run's received time, `timeout_at` is an instant; later cancels
    don't match (S13).
    """

    event: str
    match: str | None = None
    if_: str | None = field(default=None, name="if")
    all_runs: bool = False
    timeout_ms: int | None = None
    timeout_at: int | None = None
    early_cancel_ms: int = 0

    @property
    def expression(self) -> str | None:
        """The rule as one expression over `event` and `async`; None where every run matches."""
        return f"event.{self.match} == async.{self.match}" if self.match else self.if_


class Function(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named unit of work: one record of the topic `functions`."""

    v: int = 1
    app: str
    id: str
    triggers: tuple[Trigger, ...] = ()
    cancel_on: tuple[CancelRule, ...] = ()
    start_timeout_ms: int | None = None
    finish_timeout_ms: int | None = None
    lease_ms: int | None = None
    pending_for_ms: int = limits.PENDING_FOR_MS
    retention_ms: int = limits.RETENTION_MS

    @property
    def slug(self) -> str:
        """The name by which topics and people know the function."""
        return f"{self.app}-{self.id}"


class Topic(Struct, array_like=True, frozen=True):
    """A topic and the id of this life of it: a recreated topic has another."""

    name: str
    id: bytes


class Definition(Struct, array_like=True, frozen=True):
    """One version of a function as routers saw it; `body` is the JSON of a `Function`."""

    slug: str
    version: int
    body: bytes


class Listener(Struct, array_like=True, frozen=True):
    """A run waits under a match key for cancels of a rule, received until `until` (0: for ever)."""

    key: bytes
    rule: int
    until: int


class Match(Struct, array_like=True, frozen=True):
    """The entry's event may cancel runs that wait under `key`.

    `hold_ms`: how long past its received time it must be held for late or early runs beyond the
    watermark itself.
    """

    key: bytes
    hold_ms: int = 0
    everywhere: bool = False


class Register(Struct, array_like=True, frozen=True, tag="register"):
    """The entry's event starts a run whose home is this partition.

    `listeners` are all of the run's, of which the first with an equality key gives its home;
    `cancels` are what the same event cancels of the same function (S10); `dispatch_at` is 0 or a
    time in the future. `replay_of` and `replay_id`: of which run, by which request (S29).
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
    """A run with another home listens here."""

    run_id: bytes
    listeners: tuple[Listener, ...]


class Cancel(Struct, array_like=True, frozen=True, tag="cancel"):
    """The entry's event may cancel the runs that wait under these keys of this partition."""

    matches: tuple[Match, ...]


class Update(Struct, array_like=True, frozen=True, tag="update"):
    """A worker's word on a run: by run id and attempt, or by event key (`run_id` is empty then)."""

    run_id: bytes
    event_key: bytes
    status: str
    attempt: int = 0
    worker: str = ""
    step: str = ""
    until: int = 0
    error: tuple[str, str] | None = None


class Request(Struct, array_like=True, frozen=True):
    """What all requests have: their id (16 bytes), who asks, and why."""

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
    """Let a cancellation cancel no more (S22)."""

    request: Request
    cancellation: bytes


class CancelRun(Struct, array_like=True, frozen=True, tag="cancel_run"):
    """Cancel one run (S26)."""

    request: Request
    run_id: bytes


class Pause(Struct, array_like=True, frozen=True, tag="pause"):
    """Let a function start no more runs (S28).

    `running`: its unfinished runs are cancelled `now`, `later` (after `after_ms`) or `never`.
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
    """Run a function's runs again (S29): those received between two times, both exclusive.

    Those in one of the `statuses`, and where there is a `cancellation` those that it cancelled.
    """

    request: Request
    function: str
    after: int
    before: int
    statuses: tuple[str, ...]
    cancellation: bytes = b""
    spread_ms: int = 0
    dry_run: bool = False


class Complete(Struct, array_like=True, frozen=True):
    """A source is complete up to an offset, and to a time: earlier ones are no longer to come."""

    topic: int
    partition: int
    offset: int
    time: int


# Requests that a joiner works off in slices, each with a row; it decides the others at once.
LongRequest: TypeAlias = CancelRuns | Pause | Replay
Asked: TypeAlias = LongRequest | StopCancellation | CancelRun | Resume
Command: TypeAlias = Register | Listen | Cancel | Update | Asked


class Entry(Struct, array_like=True, frozen=True):
    """One input record's whole output for one partition: the unit of transactions and repeats.

    `topic` is an index into the batch's topics, `received` the record's received time, `event` the
    normalised JSON of the event (empty where no command needs it).
    """

    topic: int
    partition: int
    offset: int
    received: int
    event: bytes
    commands: tuple[Command, ...]


class CommandBatch(Struct, array_like=True, frozen=True):
    """One record of the topic `commands`.

    `progress` says how far the sending router is complete, per source.
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


class CancelEvent(Struct, array_like=True, frozen=True):
    """A cancel event on its way to the runs that it may cancel.

    `received` and `position` order it against runs (S9): those of its first occurrence, where it is
    a repeat (S10); `at` is its own position. `triggers`: it also starts a run of the same function,
    so ties go by position.
    """

    received: int
    position: Position
    event: bytes
    at: Position
    triggers: bool = False


class ForwardedMatch(Struct, array_like=True, frozen=True, tag="match"):
    """A cancel event found these runs waiting elsewhere; their home (this partition) decides."""

    cancel: CancelEvent
    hits: tuple[tuple[bytes, int], ...]


class ForwardedCancel(Struct, array_like=True, frozen=True, tag="cancel"):
    """A cancel event that also triggers its function, sent on by the home of the run it starts."""

    cancel: CancelEvent
    matches: tuple[Match, ...]


class Unlisten(Struct, array_like=True, frozen=True, tag="unlisten"):
    """A run with another home ended, or was refused: it no longer listens here."""

    run_id: bytes
    keys: tuple[bytes, ...]


Forward: TypeAlias = ForwardedMatch | ForwardedCancel | Unlisten


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run failed, in the worker's words."""

    name: str
    message: str = ""


class BeatenRun(Struct, frozen=True, kw_only=True):
    """One run that a heartbeat speaks for."""

    run_id: str
    attempt: int


class RunUpdate(Struct, frozen=True, kw_only=True):
    """A record of the topic `run-updates` (design 2.3), as workers write it."""

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
    at: int | None = None
    v: int = 1


class RequestRecord(Struct, frozen=True, kw_only=True):
    """A record of the topic `requests` (design 2.4); its key is the id of what is addressed."""

    request_id: str
    type: str
    requested_by: str
    body: Raw
    reason: str | None = None
    at: int | None = None
    v: int = 1


class CancelRunsBody(Struct, frozen=True, kw_only=True):
    """The body of `cancel_runs`; both bounds are exclusive."""

    app_id: str
    function_id: str
    started_before: int
    started_after: int | None = None
    if_: str | None = field(default=None, name="if")
    name: str | None = None
    dry_run: bool = False

    @property
    def slug(self) -> str:
        """The function that is meant."""
        return f"{self.app_id}-{self.function_id}"


class StopCancellationBody(Struct, frozen=True, kw_only=True):
    """The body of `stop_cancellation`."""

    cancellation_id: str


class CancelRunBody(Struct, frozen=True, kw_only=True):
    """The body of `cancel_run`."""

    run_id: str


class PauseBody(Struct, frozen=True, kw_only=True):
    """The body of `pause`; `function_id` is the slug, `after` in ms."""

    function_id: str
    running: Literal["now", "later", "never"] = "later"
    after: int = limits.PAUSE_AFTER_MS


class ResumeBody(Struct, frozen=True, kw_only=True):
    """The body of `resume`; `function_id` is the slug."""

    function_id: str


class ReplayBody(Struct, frozen=True, kw_only=True):
    """The body of `replay`; `function_id` is the slug, both bounds are exclusive, `spread` in ms.

    With a `cancellation_id`, those of its runs that are in the range.
    """

    function_id: str
    from_: int = field(name="from")
    to: int
    statuses: tuple[Literal["cancelled", "skipped", "failed"], ...]
    cancellation_id: str | None = None
    spread: int = 0
    name: str | None = None
    dry_run: bool = False


class RequestType(NamedTuple):
    """What a type of request has in its record, and as which command it goes to the joiners.

    `slug` takes the function's slug from the body; None where a request is about no function.
    """

    body: type[Struct]
    command: type[Asked]
    slug: Callable[[Any], str] | None = None


CANCEL_RUNS: Final = "cancel_runs"
PAUSE: Final = "pause"
RESUME: Final = "resume"
REPLAY: Final = "replay"

REQUEST_TYPES: Final[Mapping[str, RequestType]] = {
    CANCEL_RUNS: RequestType(CancelRunsBody, CancelRuns, attrgetter("slug")),
    "stop_cancellation": RequestType(StopCancellationBody, StopCancellation),
    "cancel_run": RequestType(CancelRunBody, CancelRun),
    PAUSE: RequestType(PauseBody, Pause, attrgetter("function_id")),
    RESUME: RequestType(ResumeBody, Resume, attrgetter("function_id")),
    REPLAY: RequestType(ReplayBody, Replay, attrgetter("function_id")),
}
# The name of a request's type, by the class of its body or of its command.
REQUEST_NAMES: Final[Mapping[type[Struct], str]] = {
    kind: name
    for name, request in REQUEST_TYPES.items()
    for kind in (request.body, request.command)
}


class Replayed(Struct, frozen=True, kw_only=True):
    """A record of the topic `replayed`: the event of a run that is to run once more."""

    function_id: str
    event: Raw
    replay_of: str
    replay_id: str
    dispatch_at: int = 0
    v: int = 1


class StepFailure(Struct, frozen=True, kw_only=True):
    """A step that failed for good: what its `StepError` says."""

    code: str
    message: str
    attempts: int


class StepRecord(Struct, frozen=True, kw_only=True):
    """A record of the topic `steps`: the outcome of one step, for every later attempt of its run.

    Exactly one of: `result`, any JSON; `error`; `wake_at`, for a sleep.
    """

    run_id: str
    step: str
    attempt: int
    result: Raw | UnsetType = UNSET
    error: StepFailure | UnsetType = UNSET
    wake_at: int | UnsetType = UNSET
    v: int = 1


class RunRecord(Struct, frozen=True, kw_only=True):
    """A record of the topic `runs`, as far as workers need it (design 2.2)."""

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
    stopped_at: int | None = None
