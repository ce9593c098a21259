"""`/v1/runs`: search runs, show one, cancel one."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, Field
from sqlalchemy import Connection, RowMapping, select
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from streams.api.call.call import Call, CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import (
    Answer,
    EventId,
    Expression,
    Instant,
    Reason,
    Row,
    Slug,
    Ulid,
    time_text,
)
from streams.api.operations import operation
from streams.api.paging import (
    Envelope,
    Page,
    PageMetadata,
    UlidListing,
    encode_cursor,
    written,
)
from streams.api.problems import ProblemError
from streams.api.run_model import Run, run_fields
from streams.api.run_search import Filters, search
from streams.clock import now_ms
from streams.database.schema import PROGRESS, RUNS
from topology.requests import CancelRunBody
from topology.statuses import ENDED, Cause, Status

T = TypeVar("T")

NOT_FOUND: Final = "not_found"
ALREADY_ENDED: Final = "already_ended"
_LOOK_S: Final = 0.02


class _Anything(Convertor[str]):
    """A part of a path that may hold slashes and line ends, as ids of events may."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("anything", _Anything())
router = APIRouter(prefix="/v1", tags=["runs"], route_class=GuardedRoute)


class RunPageMetadata(PageMetadata):
    """About a page of runs."""

    scanned: int = Field(description="How many runs were looked at, at most 10,000 per call.")
    failed: int = Field(description="On how many of them `if` had no answer; they are left out.")


class RunPage(Answer):
    """A page of runs; it may hold fewer than `limit`, or none, and yet have a next one."""

    data: list[Run]
    metadata: RunPageMetadata


class CancelAsked(Answer):
    """A cancel that was asked for; where it isn't decided yet, look at the run again."""

    run_id: str
    request_id: str
    outcome: str | None


def _or_accepted(declared: dict[str, Any]) -> dict[str, Any]:
    """The declaration of a route that may also answer 202: not decided yet."""
    found = {"description": "Not decided yet; it still may be.", "model": Envelope[CancelAsked]}
    return declared | {"responses": declared["responses"] | {202: found}}


def _lower(value: object) -> object:
    if isinstance(value, list):
        return [item.lower() if isinstance(item, str) else item for item in value]
    return value


class RunListing(UlidListing):
    """Which runs to list."""

    function_id: Slug | None = Field(default=None, description="The function's slug.")
    status: Annotated[list[Status], BeforeValidator(_lower)] = Field(
        default=[], description="Any of these; may be given several times."
    )
    received_after: Instant | None = None
    received_before: Instant | None = None
    ended_after: Instant | None = None
    ended_before: Instant | None = None
    event_id: EventId | None = None
    cancellation_id: Ulid | None = None
    replay_id: Ulid | None = None
    if_: Expression | None = Field(default=None, alias="if")

    def filters(self) -> Filters:
        """The filters of the search."""
        return Filters(
            function_id=self.function_id,
            statuses=tuple(dict.fromkeys(status.value for status in self.status)),
            received_after=self.received_after,
            received_before=self.received_before,
            ended_after=self.ended_after,
            ended_before=self.ended_before,
            event_id=self.event_id,
            cancellation_id=self.cancellation_id,
            replay_id=self.replay_id,
            expression=self.if_,
        )


@router.get("/runs", response_model=RunPage, **operation("listRuns", Role.VIEWER, 400))
async def list_(
    request: Request, service: CurrentService, asked: Annotated[RunListing, Query()]
) -> Response:
    """Runs, the newest first. Times are exclusive bounds; `if` is CEL over `event`."""

    def read() -> Response:
        with service.engine.connect() as connection:
            found = search(connection, asked.filters(), asked.limit, asked.cursor)
        return written(
            [run_fields(row) for row in found.rows],
            next_cursor=encode_cursor(found.last_id),
            scanned=found.scanned,
            failed=found.failed,
        )

    return await service.searches.take(request, read)


@router.get(
    "/runs/{run_id}", response_model=Envelope[Run], **operation("getRun", Role.VIEWER, 400, 404)
)
def get(run_id: Ulid, service: CurrentService) -> Response:
    """One run."""
    with service.engine.connect() as connection:
        row = find(connection, run_id)
    if row is None:
        raise not_found(run_id)
    return written(run_fields(row))


@router.get(
    "/events/{event_id:anything}/runs",
    response_model=Page[Run],
    **operation("listEventRuns", Role.VIEWER, 422),
)
async def list_of_event(
    request: Request,
    event_id: EventId,
    service: CurrentService,
    asked: Annotated[UlidListing, Query()],
) -> Response:
    """The runs that an event triggered, replays too; an event that triggered none has none."""

    def read() -> Response:
        with service.engine.connect() as connection:
            found = search(connection, Filters(event_id=event_id), asked.limit, asked.cursor)
        rows = [run_fields(row) for row in found.rows]
        return written(rows, next_cursor=encode_cursor(found.last_id))

    return await service.searches.take(request, read)


@router.delete(
    "/runs/{run_id}",
    response_model=Envelope[Run],
    **_or_accepted(operation("cancelRun", Role.OPERATOR, 400, 404, 409)),
)
async def cancel(
    run_id: Ulid,
    call: CurrentCall,
    service: CurrentService,
    reason: Annotated[Reason | None, Query(description="Why.")] = None,
) -> Response:
    """Cancel one run; its home partition decides, so a race with its end has one winner."""
    call.about(run_id, reason=reason)
    await run_in_threadpool(_ask, service, call, run_id)
    until = time.monotonic() + service.decided_within_s
    decision = await _decision(service, call.id, until)
    if decision == NOT_FOUND:
        raise not_found(run_id)
    row = None if decision is None else await _ended(service, run_id, until)
    if decision == ALREADY_ENDED:
        raise already_ended(row)
    if decision is None or row is None:
        asked = CancelAsked(run_id=run_id, request_id=call.id, outcome=decision)
        return written(asked.model_dump(), HTTPStatus.ACCEPTED)
    return written(cancelled_fields(row, call))


def find(connection: Connection, run_id: str) -> RowMapping | None:
    """The row of a run."""
    query = select(RUNS).where(RUNS.c.run_id == run_id)
    return connection.execute(query).mappings().one_or_none()


def not_found(run_id: str) -> ProblemError:
    """The problem of a run that isn't there."""
    detail = f"Unable to load function run: {run_id}"
    return ProblemError(HTTPStatus.NOT_FOUND, "run_not_found", detail)


def already_ended(row: Row | None) -> ProblemError:
    """The problem of a run that ended before."""
    if row is not None and row["status"] == Status.CANCELLED:
        detail = "Run is already cancelled"
        return ProblemError(HTTPStatus.CONFLICT, "run_already_cancelled", detail)
    return ProblemError(HTTPStatus.CONFLICT, "run_already_ended", "Cannot cancel an ended run")


def cancelled_fields(row: Row, call: Call) -> dict[str, Any]:
    """The fields of a cancelled run, also where the read model doesn't show the cancel yet."""
    if row["status"] in ENDED:
        return run_fields(row)
    cause = {"type": Cause.API, "requested_by": call.key.name, "reason": call.reason}
    changed = {"status": Status.CANCELLED.capitalize(), "ended_at": time_text(now_ms())}
    return run_fields(row) | changed | {"cause": cause}


def _ask(service: Service, call: Call, run_id: str) -> None:
    """Ask for the cancel, unless the run is known to have ended: that never changes."""
    with service.engine.connect() as connection:
        row = find(connection, run_id)
    if row is not None and row["status"] in ENDED:
        raise already_ended(row)
    service.writer.write(call, run_id, CancelRunBody(run_id=run_id))


async def _decision(service: Service, request_id: str, until: float) -> str | None:
    """The decision of the home partition; None if there is none in time."""

    def look() -> str | None:
        query = select(PROGRESS.c.outcome).where(PROGRESS.c.request_id == request_id)
        with service.engine.connect() as connection:
            return connection.execute(query.limit(1)).scalar_one_or_none()

    return await _eventually(look, until)


async def _ended(service: Service, run_id: str, until: float) -> RowMapping | None:
    """The row of a run once it has ended; when the time is up, its newest row or None."""
    newest: list[RowMapping | None] = [None]

    def look() -> RowMapping | None:
        with service.engine.connect() as connection:
            newest[0] = find(connection, run_id)
        row = newest[0]
        return row if row is not None and row["status"] in ENDED else None

    return await _eventually(look, until) or newest[0]


async def _eventually(look: Callable[[], T | None], until: float) -> T | None:
    found = await run_in_threadpool(look)
    while found is None and time.monotonic() < until:
        await asyncio.sleep(_LOOK_S)
        found = await run_in_threadpool(look)
    return found
