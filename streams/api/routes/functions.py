"""`/v1/functions`: list, show, apply and delete definitions; pause and resume."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi import Body as FastApiBody
from pydantic import Field

from streams.api.call.call import CurrentCall
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.catalogue import not_found
from streams.api.fields import (
    Body,
    DurationMs,
    Json,
    Reason,
    Slug,
    example,
)
from streams.api.function_model import (
    AppliedFunction,
    FunctionDetail,
    FunctionSummary,
    Pause,
    Running,
    applied,
    find_pauses,
    pause_answer,
    rules,
    summary,
    version_answer,
)
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
from streams.api.progress import read_progress, summed
from streams.api.run_counts import count_unfinished
from streams.errors import DefinitionError, NotFoundError, RefusedError, RegistryError
from streams.functions.definition import read_function
from streams.functions.writer import apply_functions, delete_function, plan_functions
from streams.kafka import clients
from topology import limits, requests, topics
from topology.records import Function

router = APIRouter(prefix="/v1/functions", tags=["functions"], route_class=GuardedRoute)
SlugPath = Annotated[Slug, Path(description="The function's slug: `<app>-<id>`.")]

Definition = Annotated[
    dict[str, Json],
    FastApiBody(
        description="As in a definition file, one of `functions`; camelCase names too.",
        examples=[
            {
                "id": "schedule-reminder",
                "app": "acme-app",
                "triggers": [{"event": "reminder/requested"}],
                "cancel_on": [{"event": "reminder/cancelled", "match": "data.reminderId"}],
            }
        ],
    ),
]


class ShowOptions(Body):
    """Which function to show."""

    deleted: bool = Field(
        default=False, description="Also one that was deleted, while runs of it may be unfinished."
    )


class ApplyOptions(Body):
    """How to apply."""

    dry_run: bool = Field(default=False, description="Show the difference, change nothing.")
    reason: Reason | None = Field(default=None, description="Why.")


class PauseBody(Body):
    """How to pause."""

    model_config = example(running="later", after="7d", reason="the mail provider is down")

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
    newest = {slug: versions[-1] for slug, versions in service.catalogue.all().items()}
    live = sorted(slug for slug, version in newest.items() if not version.deleted)
    rest = [slug for slug in live if asked.cursor is None or slug > asked.cursor]
    slugs = rest[: asked.limit]
    with service.engine.connect() as connection:
        pauses = find_pauses(connection, slugs)
        unfinished = count_unfinished(connection, slugs)
    shown = [summary(newest[slug], pauses.get(slug), unfinished[slug]) for slug in slugs]
    found = [FunctionSummary(**fields) for fields in shown]
    return page(found, slugs[-1] if len(rest) > asked.limit else None)


@router.get("/{slug}", **operation("getFunction", Role.VIEWER, 404, 422))
def get(
    slug: SlugPath, service: CurrentService, asked: Annotated[ShowOptions, Query()]
) -> Envelope[FunctionDetail]:
    """One function."""
    catalogue = service.catalogue
    newest = catalogue.newest(slug) if asked.deleted else catalogue.live(slug)
    versions = service.catalogue.versions(slug)
    partitions = service.partitions.get()
    with service.engine.connect() as connection:
        row = find_pauses(connection, [slug]).get(slug)
        unfinished = count_unfinished(connection, [slug])[slug]
        found = None
        if row is not None:
            ids = [row["request_id"]]
            progress = read_progress(connection, ids, partitions)
            found = pause_answer(row, progress[row["request_id"]])
    return envelope(
        FunctionDetail(
            **summary(newest, row, unfinished),
            rules=rules(newest.compiled.function),
            versions=[version_answer(version) for version in reversed(versions)],
            pause=found,
        )
    )


@router.put("/{slug}", **operation("applyFunction", Role.ADMIN, 409, 422, body=True))
def apply(
    slug: SlugPath,
    definition: Definition,
    call: CurrentCall,
    service: CurrentService,
    asked: Annotated[ApplyOptions, Query()],
) -> Envelope[AppliedFunction]:
    """Apply a definition; events produced after the answer are routed by it."""
    call.about(slug, reason=asked.reason, dry_run=asked.dry_run)
    function = read_definition(slug, definition)
    service.catalogue.require_fresh()
    service.writer.announce(call)
    config = clients.librdkafka(service.settings, log_level=0)
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
    config = clients.librdkafka(service.settings, log_level=0)
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
    record = requests.PauseBody(function_id=slug, running=asked.running.value, after=asked.after)
    begun = summed([], service.partitions.get())  # a call that has written is never a 503
    row = service.writer.write(call, slug, record)
    return envelope(pause_answer(row, begun))


@router.post(
    "/{slug}/resume",
    **operation("resumeFunction", Role.OPERATOR, 404, 422, body=True, repeatable=True),
)
def resume(
    slug: SlugPath, call: CurrentCall, service: CurrentService, body: ResumeBody | None = None
) -> Envelope[Done]:
    """End a pause: what it hasn't done yet, it won't do; also of a function deleted meanwhile."""
    call.about(slug, reason=None if body is None else body.reason)
    service.catalogue.newest(slug)
    service.writer.write(call, slug, requests.ResumeBody(function_id=slug))
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
