"""`/v1/runs/{run_id}/rules`: what a run waits for, rule by rule."""

from dataclasses import asdict
from http import HTTPStatus

import orjson
from fastapi import APIRouter
from pydantic import Field

from streams import durations
from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.catalogue import Catalogue
from streams.api.fields import Answer, Json, Row, Time, Ulid, optional_time, time_text
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import ProblemError
from streams.api.routes.runs import find, not_found
from streams.functions.compiled import CompiledFunction
from streams.functions.explain import ListeningRule, Subject, listening
from topology.statuses import ENDED

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=GuardedRoute)


class WaitedValue(Answer):
    """An equality of a rule: a cancel event needs this value there to match the run."""

    event_path: str = Field(description="Where the run's own event has the value.")
    async_path: str = Field(description="Where the cancel event must have it.")
    value: Json = Field(description="Null: missing or null in the run's event; never equal.")


class WaitingRule(Answer):
    """A cancel rule with what a run waits for by it."""

    index: int = Field(description="Its place in `cancel_on`.")
    event: str = Field(description="The name of the cancel event.")
    expression: str | None = Field(description="Null: it cancels every run of the function.")
    keys: list[list[WaitedValue]] = Field(
        description="What a cancel event is compared with, per `||` branch; empty: evaluated alone."
    )
    can_match: bool = Field(description="False: the run's event lacks a value in every branch.")
    until: Time | None = Field(description="Cancel events received later don't match.")


class RunRules(Answer):
    """What a run waits for, by the version of its function that it was registered with."""

    run_id: str
    function_id: str = Field(description="The function's slug.")
    function_version: int
    ended: bool = Field(description="Whether the run waits no more.")
    expires_at: Time = Field(description="An unfinished run is given up then.")
    start_timeout: str | None
    finish_timeout: str | None
    rules: list[WaitingRule]


@router.get("/{run_id}/rules", **operation("getRunRules", Role.VIEWER, 400, 404))
def get(run_id: Ulid, service: CurrentService) -> Envelope[RunRules]:
    """What a run waits for, rule by rule; also a run whose function was deleted."""
    with service.engine.connect() as connection:
        row = find(connection, run_id)
    if row is None:
        raise not_found(run_id)
    function = _version(service.catalogue, row)
    own, received = function.function, row["scheduled_at"]
    subject = Subject(orjson.loads(row["event"]), received, row["status"] in ENDED)
    return envelope(
        RunRules(
            run_id=run_id,
            function_id=function.slug,
            function_version=function.version,
            ended=subject.ended,
            expires_at=time_text(received + own.pending_for_ms),
            start_timeout=_duration(own.start_timeout_ms),
            finish_timeout=_duration(own.finish_timeout_ms),
            rules=[_rule(rule) for rule in listening(function, subject)],
        )
    )


def _version(catalogue: Catalogue, run: Row) -> CompiledFunction:
    """The version that a run was registered with.

    Raises:
        ProblemError: 404; it is kept no more. Or 503, while nobody can know.
    """
    slug, number = run["function_id"], run["function_version"]
    for version in catalogue.all().get(slug, ()):
        if version.compiled.version == number:
            return version.compiled
    catalogue.require_fresh()
    detail = f"Version {number} of {slug} is kept no more: its rules aren't known"
    raise ProblemError(HTTPStatus.NOT_FOUND, "version_not_found", detail)


def _rule(rule: ListeningRule) -> WaitingRule:
    return WaitingRule.model_validate(asdict(rule) | {"until": optional_time(rule.until)})


def _duration(ms: int | None) -> str | None:
    return durations.format_duration(ms) if ms else None
