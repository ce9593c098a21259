"""`/v1/replays`: run cancelled, skipped or failed runs again."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from streams import durations
from streams.api.call.call import CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import (
    Answer,
    Body,
    DurationMs,
    Instant,
    Name,
    PastInstant,
    Reason,
    Row,
    Slug,
    Time,
    Ulid,
    example,
    time_text,
)
from streams.api.operations import operation
from streams.api.paging import Envelope, Page, envelope, page
from streams.api.problems import FieldError, ProblemError, invalid
from streams.api.progress import Progress, ReplayCounts, State, summed
from streams.api.requests import RequestListing, find_with_progress, list_requests, read_body
from streams.api.routes.runs import find, not_found
from streams.api.undos import written_once
from streams.functions.registry import Version
from topology import keys, requests
from topology.requests import CANCEL_RUNS, REPLAY

PATH: Final = "/v1/replays"
router = APIRouter(prefix=PATH, tags=["replays"], route_class=GuardedRoute)
_RANGE: Final = ("function_id", "to", "from_", "statuses")
# What may stand in place of a range.
_WAYS: Final = ("cancellation_id", "run_id")


class Replayable(StrEnum):
    """Statuses whose runs can be replayed."""

    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    FAILED = "failed"


class ReplayBody(Body):
    """Which runs to run again: by function, range and statuses, those of a cancellation, or one."""

    model_config = example(
        cancellation_id="01HMRMPE5ZQ4AMNJ3S2N79QGRZ", spread="10m", reason="cancelled by mistake"
    )

    # First, since what else is needed depends on it.
    cancellation_id: Ulid | None = Field(
        None, description="Replay exactly the runs that it cancelled, once."
    )
    run_id: Ulid | None = Field(
        None,
        validate_default=True,
        description="Replay this run alone: a cancelled, skipped or failed one.",
    )
    function_id: Slug | None = Field(
        None,
        validate_default=True,
        description="The function's slug.",
        examples=["acme-app-remind"],
    )
    to: PastInstant | None = Field(None, validate_default=True)
    from_: Instant | None = Field(None, alias="from", validate_default=True)
    statuses: list[Replayable] | None = Field(
        None, validate_default=True, min_length=1, max_length=3
    )
    spread: DurationMs | None = Field(None, description="Dispatch them over so long, not at once.")
    dry_run: bool = Field(default=False, description="Count exactly, change nothing.")
    name: Name | None = Field(None, description="For people.")
    reason: Reason | None = Field(None, description="Why.")

    @field_validator("run_id", *_RANGE)
    @classmethod
    def _one_way(cls, value: object, info: ValidationInfo) -> object:
        ways = ("cancellation_id",) if info.field_name == "run_id" else _WAYS
        if not info.data.keys() >= set(ways):  # one is wrong itself: who knows what was meant
            return value
        given = next((name for name in ways if info.data[name] is not None), None)
        if given is not None and value is not None:
            raise PydanticCustomError("conflict", "can't stand beside " + given)
        if given is None and value is None and info.field_name != "run_id":
            raise PydanticCustomError("required", "is required")
        return value

    @field_validator("from_")
    @classmethod
    def _ordered(cls, value: int | None, info: ValidationInfo) -> int | None:
        end = info.data.get("to")
        if value is not None and end is not None and value >= end:
            raise PydanticCustomError("order", "must be before to")
        return value


class Replay(Answer):
    """A replay: what it runs again, and how far it is."""

    id: str
    created_at: Time
    name: str | None
    function_id: str = Field(description="The function's slug.")
    from_: Time = Field(serialization_alias="from")
    to: Time
    statuses: list[Replayable]
    cancellation_id: str | None
    run_id: str | None
    spread: str | None
    dry_run: bool
    status: State
    counts: ReplayCounts
    sample: list[str]
    requested_by: str
    reason: str | None
    error: str | None = Field(description="Why partitions failed.")


@router.post(
    "", **operation("createReplay", Role.OPERATOR, 404, 409, 422, body=True, repeatable=True)
)
def create(body: ReplayBody, call: CurrentCall, service: CurrentService) -> Envelope[Replay]:
    """Run cancelled, skipped or failed runs again, each once per replay, as fresh runs.

    The runs of a cancellation are run again once: a second call gets 409 with `replay_id`.
    """
    target = body.cancellation_id or body.run_id or body.function_id or ""
    call.about(target, reason=body.reason, dry_run=body.dry_run)
    record = _record(body, service)
    _check_spread(record.spread, service.catalogue.live(record.function_id))
    begun = summed([], service.partitions.get())  # a call that has written is never a 503
    undoes = None if body.dry_run else body.cancellation_id
    once: AbstractContextManager[None] = nullcontext()
    if undoes is not None:
        once = written_once(service.engine, call, undoes)
    with once:
        row = service.writer.write(call, call.id, record)
    return envelope(replay(row, begun))


def _check_spread(spread_ms: int, version: Version) -> None:
    """Refuse to dispatch runs later than they are kept waiting: they would expire first (S30)."""
    pending_for_ms = version.compiled.function.pending_for_ms
    if spread_ms > pending_for_ms:
        detail = f"must be at most {version.compiled.slug}'s pending_for, {pending_for_ms} ms"
        raise invalid(PATH, [FieldError("too_long", detail, pointer="/spread")])


@router.get("", **operation("listReplays", Role.VIEWER, 422))
def list_(service: CurrentService, asked: Annotated[RequestListing, Query()]) -> Page[Replay]:
    """Replays, the newest first."""
    found, last_id = list_requests(service, REPLAY, asked)
    return page([replay(row, progress) for row, progress in found], last_id)


@router.get("/{replay_id}", **operation("getReplay", Role.VIEWER, 404, 422))
def get(replay_id: Ulid, service: CurrentService) -> Envelope[Replay]:
    """One replay with its counts so far."""
    return envelope(replay(*find_with_progress(service, REPLAY, replay_id)))


def _record(body: ReplayBody, service: Service) -> requests.ReplayBody:
    """The body of the request's record."""
    if body.cancellation_id is not None:
        found = _cancelled_by(service, body.cancellation_id)
    elif body.run_id is not None:
        found = _one_run(service, body.run_id)
    else:
        assert body.function_id is not None
        assert body.from_ is not None
        assert body.to is not None
        found = requests.ReplayBody(
            function_id=body.function_id,
            from_=body.from_,
            to=body.to,
            statuses=tuple(dict.fromkeys(status.value for status in body.statuses or ())),
        )
    return msgspec.structs.replace(
        found,
        cancellation_id=body.cancellation_id,
        run_id=body.run_id,
        spread=body.spread or 0,
        name=body.name,
        dry_run=body.dry_run,
    )


def _cancelled_by(service: Service, cancellation_id: str) -> requests.ReplayBody:
    """The function, bounds and statuses of the runs that a cancellation cancelled.

    Raises:
        ProblemError: 404, or 409 where it is under way or cancels nothing.
    """
    row, progress = find_with_progress(service, CANCEL_RUNS, cancellation_id)
    body = read_body(row, requests.CancelRunsBody)
    # Its slug may have become another function's since.
    service.catalogue.require_named(body.slug, body.app_id, body.function_id)
    if body.dry_run:
        detail = "This cancellation is a dry run: it cancelled nothing to replay"
        raise ProblemError(HTTPStatus.CONFLICT, "cancellation_dry_run", detail)
    if progress.state in {State.QUEUED, State.RUNNING}:
        detail = "This cancellation is under way: wait until it is done, or stop it first"
        raise ProblemError(HTTPStatus.CONFLICT, "cancellation_under_way", detail)
    return requests.ReplayBody(
        function_id=body.slug,
        from_=body.started_after or 0,
        to=body.started_before,
        statuses=("cancelled",),
    )


def _one_run(service: Service, run_id: str) -> requests.ReplayBody:
    """The function of a run, and the bounds and the status by which it is found.

    Raises:
        ProblemError: 404, or 409 where runs of its status aren't started again.
    """
    with service.engine.connect() as connection:
        row = find(connection, run_id)
    if row is None:
        raise not_found(run_id)
    if row["status"] not in set(Replayable):
        detail = f"The run is {row['status']}: cancelled, skipped and failed runs can be replayed"
        raise ProblemError(HTTPStatus.CONFLICT, "run_not_replayable", detail)
    received = keys.received_ms(keys.run_id_bytes(run_id))
    return requests.ReplayBody(
        function_id=row["function_id"],
        from_=received - 1,
        to=received + 1,
        statuses=(row["status"],),
    )


def replay(row: Row, progress: Progress) -> Replay:
    """A replay from its request and progress."""
    body = read_body(row, requests.ReplayBody)
    return Replay(
        id=row["request_id"],
        created_at=time_text(row["at"]),
        name=body.name,
        function_id=body.function_id,
        from_=time_text(body.from_),
        to=time_text(body.to),
        statuses=[Replayable(status) for status in body.statuses],
        cancellation_id=body.cancellation_id,
        run_id=body.run_id,
        spread=durations.format_duration(body.spread) if body.spread else None,
        dry_run=body.dry_run,
        status=progress.state,
        counts=progress.replays(),
        sample=progress.sample,
        requested_by=row["requested_by"],
        reason=row["reason"],
        error="; ".join(progress.errors) or None,
    )
