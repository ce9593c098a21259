"""`/v1/cancellations`: cancel the runs of a function by time and expression; watch, stop, list."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection, RowMapping, select
from starlette.responses import Response

from streams.api.call.call import CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.fields import (
    Answer,
    Body,
    Expression,
    Instant,
    Name,
    PastInstant,
    Reason,
    Row,
    Slug,
    Time,
    Ulid,
    example,
    optional_time,
    time_text,
)
from streams.api.operations import operation
from streams.api.paging import (
    Done,
    Envelope,
    Page,
    UlidListing,
    encode_cursor,
    envelope,
    page,
    written,
)
from streams.api.progress import CancelCounts, Progress, State, summed
from streams.api.requests import (
    RequestListing,
    find_request,
    find_with_progress,
    list_requests,
    read_body,
)
from streams.api.run_counts import count_begun
from streams.api.run_model import Run, run_fields
from streams.api.run_search import Filters, search
from streams.api.undos import undone
from streams.database.schema import FAILURES
from topology import limits
from topology.requests import CANCEL_RUNS, CancelRunsBody, StopCancellationBody

# There is one environment; scripts written for Inngest read the field.
ENVIRONMENT: Final = "00000000-0000-0000-0000-000000000000"
# As Inngest documents it.
_EXAMPLE: Final = {
    "app_id": "acme-app",
    "function_id": "schedule-reminder",
    "started_after": "2024-01-21T18:23:12.000Z",
    "started_before": "2024-01-22T14:22:42.130Z",
    "if": "event.data.userId == 'user_o9235hf84hf'",
}

router = APIRouter(prefix="/v1/cancellations", tags=["cancellations"], route_class=GuardedRoute)


class CancellationBody(Body):
    """Which runs to cancel: those of a function received strictly between two times."""

    model_config = example(**_EXAMPLE)

    app_id: Slug = Field(description="The function's app.", examples=["acme-app"])
    function_id: Slug = Field(
        description="The function's id within its app.", examples=["schedule-reminder"]
    )
    # Before `started_after`, so that this one can be compared with it.
    started_before: PastInstant
    started_after: Instant | None = None
    if_: Expression | None = Field(None, alias="if")
    name: Name | None = Field(None, description="For people.")
    reason: Reason | None = Field(None, description="Why: kept with the request and its runs.")
    dry_run: bool = Field(
        default=False, description="Count exactly, show a sample, change nothing."
    )
    expected: int | None = Field(
        None,
        ge=0,
        le=limits.COUNT,
        description="How many runs a dry run has matched: kept, so that another count shows.",
    )

    @field_validator("started_after")
    @classmethod
    def _ordered(cls, value: int | None, info: ValidationInfo) -> int | None:
        before = info.data.get("started_before")
        if value is not None and before is not None and value >= before:
            raise PydanticCustomError("order", "must be before started_before")
        return value

    @property
    def slug(self) -> str:
        """The function's name."""
        return f"{self.app_id}-{self.function_id}"

    def record(self) -> CancelRunsBody:
        """The body of the request's record."""
        return CancelRunsBody(
            app_id=self.app_id,
            function_id=self.function_id,
            started_after=self.started_after,
            started_before=self.started_before,
            if_=self.if_,
            name=self.name,
            dry_run=self.dry_run,
            expected=self.expected,
        )


class Cancellation(Answer):
    """A cancellation: its rule, who asked for it, and how far it is."""

    model_config = example(
        id="01HMRMPE5ZQ4AMNJ3S2N79QGRZ",
        created_at="2024-01-22T14:22:43.000Z",
        name=None,
        environment_id=ENVIRONMENT,
        function_internal_id="acme-app-schedule-reminder",
        **_EXAMPLE,
        status="running",
        dry_run=False,
        expected=12,
        counts={
            "scanned": 1000,
            "matched": 12,
            "cancelled": 12,
            "already_ended": 700,
            "failed": 0,
            "partitions_done": 3,
            "partitions": 8,
        },
        sample=[],
        requested_by="ann",
        reason=None,
        error=None,
        replay_id=None,
    )

    id: str
    created_at: Time
    name: str | None
    environment_id: str
    app_id: str
    function_id: str = Field(description="As it was sent.")
    function_internal_id: str = Field(description="The function's slug.")
    started_after: Time | None
    started_before: Time
    if_: str | None = Field(serialization_alias="if")
    status: State
    dry_run: bool
    expected: int | None = Field(description="How many a dry run had matched, as it was sent.")
    counts: CancelCounts
    sample: list[str] = Field(description="Ids of up to 10 matching runs, in a dry run.")
    requested_by: str
    reason: str | None
    error: str | None = Field(description="Why partitions failed.")
    replay_id: str | None = Field(
        description="The replay that has started its runs again; null: none has."
    )


class BegunRuns(Answer):
    """How many runs had begun when a cancellation cancelled them; those that are kept count."""

    cancelled: int = Field(description="Runs that it has cancelled so far.")
    begun: int = Field(
        description="Those of them that a worker had started: their steps may have had effects."
    )


class Outcome(StrEnum):
    """What became of a run in a cancellation's range."""

    CANCELLED = "cancelled"
    FAILED = "failed"
    ALREADY_ENDED = "already_ended"


class OutcomeListing(UlidListing):
    """Which of a cancellation's runs to list."""

    outcome: Outcome = Outcome.CANCELLED


class CancellationRun(Run):
    """A run, and what became of it by a cancellation."""

    outcome: Outcome
    failure: str | None = Field(description="Why `if` had no answer.")


@router.post(
    "", **operation("createCancellation", Role.OPERATOR, 400, 404, body=True, repeatable=True)
)
def create(
    body: CancellationBody, call: CurrentCall, service: CurrentService
) -> Envelope[Cancellation]:
    """Cancel every unfinished run of a function in a range of time, also late registrations."""
    call.about(body.slug, reason=body.reason, dry_run=body.dry_run)
    service.catalogue.require_named(body.slug, body.app_id, body.function_id)
    begun = summed([], service.partitions.get())  # a call that has written is never a 503
    row = service.writer.write(call, call.id, body.record())
    return envelope(cancellation(row, begun, None))


@router.get("", **operation("listCancellations", Role.VIEWER, 400))
def list_(service: CurrentService, asked: Annotated[RequestListing, Query()]) -> Page[Cancellation]:
    """Cancellations, the newest first; stopped ones too."""
    found, last_id = list_requests(service, CANCEL_RUNS, asked)
    ids = [row["request_id"] for row, _ in found]
    with service.engine.connect() as connection:
        replays = undone(connection, ids)
    shown = [cancellation(row, progress, replays.get(row["request_id"])) for row, progress in found]
    return page(shown, last_id)


@router.get("/{cancellation_id}", **operation("getCancellation", Role.VIEWER, 400, 404))
def get(cancellation_id: Ulid, service: CurrentService) -> Envelope[Cancellation]:
    """One cancellation with its counts so far."""
    row, progress = find_with_progress(service, CANCEL_RUNS, cancellation_id)
    with service.engine.connect() as connection:
        replays = undone(connection, [cancellation_id])
    return envelope(cancellation(row, progress, replays.get(cancellation_id)))


@router.get("/{cancellation_id}/begun", **operation("countBegunRuns", Role.VIEWER, 400, 404))
def count_begun_runs(cancellation_id: Ulid, service: CurrentService) -> Envelope[BegunRuns]:
    """How many runs had begun when it cancelled them, exactly: to know before a replay."""
    with service.engine.connect() as connection:
        find_request(connection, CANCEL_RUNS, cancellation_id)
        cancelled, begun = count_begun(connection, cancellation_id)
    return envelope(BegunRuns(cancelled=cancelled, begun=begun))


@router.delete("/{cancellation_id}", **operation("stopCancellation", Role.OPERATOR, 400, 404))
def stop(
    cancellation_id: Ulid,
    call: CurrentCall,
    service: CurrentService,
    reason: Annotated[Reason | None, Query(description="Why.")] = None,
) -> Envelope[Done]:
    """Let a cancellation cancel no more; what it cancelled stays cancelled."""
    call.about(cancellation_id, reason=reason)
    with service.engine.connect() as connection:
        find_request(connection, CANCEL_RUNS, cancellation_id)
    body = StopCancellationBody(cancellation_id=cancellation_id)
    service.writer.write(call, cancellation_id, body)
    return envelope(Done())


@router.get(
    "/{cancellation_id}/runs",
    response_model=Page[CancellationRun],
    **operation("listCancellationRuns", Role.VIEWER, 400, 404),
)
async def list_runs(
    request: Request,
    cancellation_id: Ulid,
    service: CurrentService,
    asked: Annotated[OutcomeListing, Query()],
) -> Response:
    """What became of the runs: those cancelled, those without an answer, those ended before.

    `already_ended` lists the runs in the range that had ended when the request was received; one
    that ended while it was worked is counted there but not listed.
    """

    def read() -> Response:
        with service.engine.connect() as connection:
            row = find_request(connection, CANCEL_RUNS, cancellation_id)
            filters = outcome_filters(row, asked.outcome)
            found = search(connection, filters, asked.limit, asked.cursor)
            failures = _failures(connection, filters, found.rows)
        runs = [
            cancellation_run(run, asked.outcome, failures.get(run["run_id"])) for run in found.rows
        ]
        return written(runs, next_cursor=encode_cursor(found.last_id))

    return await service.searches.take(request, read)


def cancellation(row: Row, progress: Progress, replay_id: str | None) -> Cancellation:
    """A cancellation from its request, its progress, and the replay that has undone it."""
    body = read_body(row, CancelRunsBody)
    return Cancellation(
        id=row["request_id"],
        created_at=time_text(row["at"]),
        name=body.name,
        environment_id=ENVIRONMENT,
        app_id=body.app_id,
        function_id=body.function_id,
        function_internal_id=body.slug,
        started_after=optional_time(body.started_after),
        started_before=time_text(body.started_before),
        if_=body.if_,
        status=progress.state,
        dry_run=body.dry_run,
        expected=body.expected,
        counts=progress.cancels(),
        sample=progress.sample,
        requested_by=row["requested_by"],
        reason=row["reason"],
        error="; ".join(progress.errors) or None,
        replay_id=replay_id,
    )


def outcome_filters(row: Row, outcome: Outcome) -> Filters:
    """The runs of a cancellation with one outcome."""
    if outcome is Outcome.CANCELLED:
        return Filters(cancellation_id=row["request_id"])
    if outcome is Outcome.FAILED:
        return Filters(failed_in=row["request_id"])
    body = read_body(row, CancelRunsBody)
    return Filters(
        function_id=row["function_id"],
        received_after=body.started_after,
        received_before=body.started_before,
        ended_before=row["received_at"] + 1,
    )


def _failures(
    connection: Connection, filters: Filters, runs: Sequence[RowMapping]
) -> Mapping[str, str]:
    """Why the expression had no answer on these runs, by run id."""
    if filters.failed_in is None:
        return {}
    ids = [run["run_id"] for run in runs]
    query = select(FAILURES.c.run_id, FAILURES.c.error).where(
        FAILURES.c.request_id == filters.failed_in, FAILURES.c.run_id.in_(ids)
    )
    return {row.run_id: row.error for row in connection.execute(query)}


def cancellation_run(row: Row, outcome: Outcome, failure: str | None) -> dict[str, Any]:
    """One of a cancellation's runs, as `CancellationRun` describes it."""
    return run_fields(row) | {"outcome": outcome, "failure": failure}
