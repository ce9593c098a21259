"""The records of the topic `requests` (design 2.4): what each type asks, as JSON."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from msgspec import Raw, Struct, field

from topology import limits
from topology.fields import Count, Time
from topology.records import (
    Asked,
    CancelRun,
    CancelRuns,
    Pause,
    Replay,
    Resume,
    StopCancellation,
)


class RequestRecord(Struct, frozen=True, kw_only=True):
    """A record of the topic `requests` (design 2.4); the key is the id of what it addresses."""

    request_id: str
    type: str
    requested_by: str
    body: Raw
    reason: str | None = None
    at: Time | None = None
    v: int = 1


class CancelRunsBody(Struct, frozen=True, kw_only=True):
    """The body of `cancel_runs`; both times are exclusive.

    `expected` is how many runs a dry run had found for whoever asks; nothing depends on it.
    """

    app_id: str
    function_id: str
    started_before: int
    started_after: int | None = None
    if_: str | None = field(default=None, name="if")
    name: str | None = None
    dry_run: bool = False
    expected: Count | None = None

    @property
    def slug(self) -> str:
        """The function's slug."""
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
    """The body of `replay`; `function_id` is the slug, both times are exclusive, `spread` in ms.

    With a `cancellation_id`, only runs that this cancellation cancelled; with a `run_id`, that one.
    """

    function_id: str
    from_: int = field(name="from")
    to: int
    statuses: tuple[Literal["cancelled", "skipped", "failed"], ...]
    cancellation_id: str | None = None
    run_id: str | None = None
    spread: int = 0
    name: str | None = None
    dry_run: bool = False


class RequestType(NamedTuple):
    """One type of request: the class of its record's body, and of the command that it becomes.

    `slug` takes the function's slug from the body; it is None if the request is about no function.
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
# The names of the types, by the classes of their bodies and of their commands.
REQUEST_NAMES: Final[Mapping[type[Struct], str]] = {
    kind: name
    for name, request in REQUEST_TYPES.items()
    for kind in (request.body, request.command)
}
