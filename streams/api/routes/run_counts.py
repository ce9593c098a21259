"""`/v1/runs/counts`: how many runs there are in each status."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.routing import Match
from starlette.types import Scope

from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService
from streams.api.fields import Body, Slug
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.run_counts import Counted, count_by_status


class _Named(GuardedRoute):
    """A route with a name where others have an id: 405 to other methods, and no wrong id."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take every call of the path, whatever its method."""
        match, found = super().matches(scope)
        return (match if match is Match.NONE else Match.FULL), found


# To be included before the routes with a run's id.
router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=_Named)


class CountOptions(Body):
    """Which runs to count."""

    function_id: Slug | None = Field(default=None, description="The function's slug.")


class StatusCount(Counted):
    """The number of runs of one status."""

    status: str = Field(description="As a run shows it.")


@router.get("/counts", **operation("countRuns", Role.VIEWER, 400))
def count(
    service: CurrentService, asked: Annotated[CountOptions, Query()]
) -> Envelope[list[StatusCount]]:
    """How many runs there are in each status, counted up to 100,000 each."""
    with service.engine.connect() as connection:
        found = count_by_status(connection, asked.function_id)
    return envelope(
        [
            StatusCount(status=status.capitalize(), **number.model_dump())
            for status, number in found.items()
        ]
    )
