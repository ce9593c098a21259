"""`/v1/functions`: list, show, apply and delete definitions; pause and resume."""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import Connection, RowMapping, select

from streams import durations
from streams.api.calls import CurrentCall
from streams.api.catalogue import not_found
from streams.api.fields import (
    Answer,
    Body,
    DurationMs,
    Json,
    Reason,
    Row,
    Slug,
    Time,
    time_text,
)
from streams.api.guard import GuardedRoute
from streams.api.keys import Role
from streams.api.operations import operation
from streams.api.paging import (
    Done,
    Envelope,
    Page,
    SlugListing,
    envelope,
    page,
)
from streams.api.problems import FieldError, ProblemError, invalid, unavailable
from streams.api.progress import CancelCounts, Progress, State, read_progress, summed
from streams.api.service import CurrentService
from streams.database.schema import REQUESTS
from streams.errors import DefinitionError, NotFoundError, RefusedError, RegistryError
from streams.functions.changes import Difference, RuleReport, rule_reports
from streams.functions.definition import as_document, read_function
from streams.functions.registry import Version
from streams.functions.writer import apply_functions, delete_function, plan_functions
from topology import limits, topics
from topology.records import Function

PAUSE: Final = "pause"
RESUME: Final = "resume"

router = APIRouter(prefix="/v1/functions", tags=["functions"], route_class=GuardedRoute)
SlugPath = Annotated[Slug, Path(description="The function's slug: `<app>-<id>`.")]


class Rule(Answer):
    """How a cancel rule finds its runs."""

    index: int
    event: str
    expression: str | None = Field(description="Null: it cancels every run of the function.")
    indexed: bool = Field(description="Runs are found by key; otherwise all are looked through.")
    keys: list[list[str]] = Field(description="What is looked up in the cancel event, per branch.")
    evaluated: bool = Field(description="Whether what is found is then evaluated.")
    compiled: bool


class FunctionVersion(Answer):
    """One version of a function; a run keeps the one that it was registered with."""

    version: int
    valid_from: Time
    deleted: bool
    definition: dict[str, Json]
    rules: list[Rule]


class Running(StrEnum):
    """What becomes of a paused function's unfinished runs."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


class Pause(Answer):
    """A pause of a function."""

    id: str
    created_at: Time
    function_id: str
    running: Running
    after: str | None = Field(description="With `later`: when unfinished runs are cancelled.")
    status: State
    counts: CancelCounts
    requested_by: str
    reason: str | None


class FunctionSummary(Answer):
    """A function as it is now."""

    function_id: str = Field(description="Its slug.")
    app_id: str
    id: str
    version: int
    valid_from: Time
    definition: dict[str, Json]
    paused: bool


class FunctionDetail(FunctionSummary):
    """A function with its versions, newest first, its rules, and its pause if there is one."""

    rules: list[Rule]
    versions: list[FunctionVersion]
    pause: Pause | None


class Change(Answer):
    """One field's value before and after."""

    field: str
    before: Json
    after: Json


class AppliedFunction(Answer):
    """What applying a definition changed, or would change."""

    function_id: str
    change: str = Field(description="new, changed or unchanged.")
    fields: list[Change]
    rules: list[Rule]
    definition: dict[str, Json]
    applied: bool = Field(description="False in a dry run.")


class ApplyOptions(Body):
    """How to apply."""

    dry_run: bool = Field(default=False, description="Show the difference, change nothing.")
    reason: Reason | None = Field(default=None, description="Why.")


class PauseBody(Body):
    """How to pause."""

    running: Running = Field(
        default=Running.LATER, description="When unfinished runs are cancelled."
    )
    after: DurationMs = Field(
        default=limits.PAUSE_AFTER_MS, description="With `later`: how much later."
    )
    reason: Reason | None = None


class ResumeBody(Body):
    """Why to resume."""

    reason: Reason | None = None


@router.get("", **operation("listFunctions", Role.VIEWER, 422))
def list_(service: CurrentService, asked: Annotated[SlugListing, Query()]) -> Page[FunctionSummary]:
    """Functions by their slugs; deleted ones are left out."""
    newest = [versions[-1] for versions in service.catalogue.all().values()]
    live = sorted((one for one in newest if not one.deleted), key=lambda one: one.compiled.slug)
    rest = [one for one in live if asked.cursor is None or one.compiled.slug > asked.cursor]
    shown = rest[: asked.limit]
    slugs = [one.compiled.slug for one in shown]
    with service.engine.connect() as connection:
        pauses = {slug: find_pause(connection, slug) for slug in slugs}
    found = [FunctionSummary(**summary(one, pauses[one.compiled.slug])) for one in shown]
    return page(found, slugs[-1] if len(rest) > asked.limit else None)


@router.get("/{slug}", **operation("getFunction", Role.VIEWER, 404, 422))
def get(slug: SlugPath, service: CurrentService) -> Envelope[FunctionDetail]:
    """One function."""
    newest = service.catalogue.live(slug)
    versions = service.catalogue.versions(slug)
    with service.engine.connect() as connection:
        row = find_pause(connection, slug)
        found = None
        if row is not None:
            ids = [row["request_id"]]
            progress = read_progress(connection, ids, service.settings.partitions)
            found = pause_answer(row, progress[row["request_id"]])
    return envelope(
        FunctionDetail(
            **summary(newest, row),
            rules=rules(newest.compiled.function),
            versions=[version_answer(one) for one in reversed(versions)],
            pause=found,
        )
    )


@router.put("/{slug}", **operation("applyFunction", Role.ADMIN, 409, 422, body=True))
def apply(
    slug: SlugPath,
    definition: dict[str, Json],
    call: CurrentCall,
    service: CurrentService,
    asked: Annotated[ApplyOptions, Query()],
) -> Envelope[AppliedFunction]:
    """Apply a definition; events produced after the answer are routed by it."""
    call.about(slug, reason=asked.reason, dry_run=asked.dry_run)
    function = read_definition(slug, definition)
    service.catalogue.require_fresh()
    service.writer.announce(call)
    config = service.settings.librdkafka(log_level=0)
    topic = service.settings.topic(topics.FUNCTIONS)
    try:
        if asked.dry_run:
            (difference,) = plan_functions(config, topic, [function])
        else:
            (difference,) = apply_functions(config, topic, [function]).differences
    except RefusedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, "slug_taken", str(error)) from error
    except RegistryError as error:
        raise unavailable("kafka_unavailable", str(error)) from error
    return envelope(applied(difference, dry_run=asked.dry_run))


@router.delete("/{slug}", **operation("deleteFunction", Role.ADMIN, 404, 422))
def delete(
    slug: SlugPath,
    call: CurrentCall,
    service: CurrentService,
    reason: Annotated[Reason | None, Query(description="Why.")] = None,
) -> Envelope[Done]:
    """Delete a function: it starts no more runs, and pending ones stay cancellable."""
    call.about(slug, reason=reason)
    service.catalogue.live(slug)
    service.catalogue.require_fresh()
    service.writer.announce(call)
    config = service.settings.librdkafka(log_level=0)
    try:
        delete_function(config, service.settings.topic(topics.FUNCTIONS), slug)
    except NotFoundError:
        raise not_found(slug) from None
    except RegistryError as error:
        raise unavailable("kafka_unavailable", str(error)) from error
    return envelope(Done())


@router.post(
    "/{slug}/pause",
    **operation("pauseFunction", Role.OPERATOR, 404, 422, body=True, repeatable=True),
)
def pause(
    slug: SlugPath, call: CurrentCall, service: CurrentService, body: PauseBody | None = None
) -> Envelope[Pause]:
    """Start no more runs of a function; those received from now on are skipped."""
    asked = body or PauseBody()
    call.about(slug, reason=asked.reason)
    service.catalogue.live(slug)
    found = {"function_id": slug, "running": asked.running.value, "after": asked.after}
    service.writer.write(call, PAUSE, slug, found, function=slug)
    assert call.row is not None
    return envelope(pause_answer(call.row, summed([], service.settings.partitions)))


@router.post(
    "/{slug}/resume",
    **operation("resumeFunction", Role.OPERATOR, 404, 422, body=True, repeatable=True),
)
def resume(
    slug: SlugPath, call: CurrentCall, service: CurrentService, body: ResumeBody | None = None
) -> Envelope[Done]:
    """End a pause: what it hasn't done yet, it won't do."""
    call.about(slug, reason=None if body is None else body.reason)
    service.catalogue.live(slug)
    service.writer.write(call, RESUME, slug, {"function_id": slug}, function=slug)
    return envelope(Done())


def read_definition(slug: str, definition: Mapping[str, Json]) -> Function:
    """The function of a body.

    Raises:
        ProblemError: 422 with every wrong field.
    """
    path = f"/v1/functions/{slug}"
    try:
        function = read_function(definition)
    except DefinitionError as error:
        errors = [
            FieldError(found.code, str(found), pointer=found.pointer, position=found.position)
            for found in error.problems
        ]
        raise invalid(path, errors) from None
    if function.slug != slug:
        detail = f"app and id make {function.slug}, but the path names {slug}"
        raise invalid(path, [FieldError("slug", detail, pointer="/id")])
    return function


def find_pause(connection: Connection, slug: str) -> RowMapping | None:
    """The request that a function is paused by; None where it isn't."""
    kinds = REQUESTS.c.type.in_((PAUSE, RESUME))
    query = select(REQUESTS).where(REQUESTS.c.function_id == slug, kinds)
    newest = query.order_by(REQUESTS.c.received_at.desc(), REQUESTS.c.request_id.desc()).limit(1)
    row = connection.execute(newest).mappings().one_or_none()
    return None if row is None or row["type"] == RESUME else row


def summary(version: Version, pause_row: RowMapping | None) -> dict[str, Any]:
    """The fields of a function as it is now."""
    function = version.compiled.function
    return {
        "function_id": function.slug,
        "app_id": function.app,
        "id": function.id,
        "version": version.compiled.version,
        "valid_from": time_text(version.compiled.valid_from),
        "definition": as_document(function),
        "paused": pause_row is not None,
    }


def version_answer(version: Version) -> FunctionVersion:
    """One version as an answer."""
    return FunctionVersion(
        version=version.compiled.version,
        valid_from=time_text(version.compiled.valid_from),
        deleted=version.deleted,
        definition=as_document(version.compiled.function),
        rules=rules(version.compiled.function),
    )


def rules(function: Function) -> list[Rule]:
    """How the cancel rules of a function find their runs."""
    return [_rule(report) for report in rule_reports(function)]


def applied(difference: Difference, *, dry_run: bool) -> AppliedFunction:
    """What applying a definition changed, as an answer."""
    fields = [
        Change(field=one.field, before=one.before, after=one.after) for one in difference.fields
    ]
    return AppliedFunction(
        function_id=difference.slug,
        change=difference.change.value,
        fields=fields,
        rules=[_rule(report) for report in difference.rules],
        definition=as_document(difference.function),
        applied=not dry_run,
    )


def pause_answer(row: Row, progress: Progress) -> Pause:
    """A pause from its request and progress."""
    body = orjson.loads(row["body"])
    later = body["running"] == Running.LATER
    return Pause(
        id=row["request_id"],
        created_at=time_text(row["at"]),
        function_id=body["function_id"],
        running=body["running"],
        after=durations.format_duration(body["after"]) if later else None,
        status=progress.state,
        counts=progress.cancels(),
        requested_by=row["requested_by"],
        reason=row["reason"],
    )


def _rule(report: RuleReport) -> Rule:
    return Rule(
        index=report.index,
        event=report.event,
        expression=report.expression,
        indexed=report.indexed,
        keys=[list(paths) for paths in report.keys],
        evaluated=report.evaluated,
        compiled=report.compiled,
    )
