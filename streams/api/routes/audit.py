"""`/v1/audit`: who wrote what, when and why, and what became of it; keys made and revoked too."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy import select

from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.fields import Answer, Instant, Name, Text, Time, time_text
from streams.api.operations import operation
from streams.api.paging import Page, UlidListing, fetch, page
from streams.database.schema import AUDIT
from topology.keys import lowest_id

router = APIRouter(tags=["audit"], route_class=GuardedRoute)


class AuditEntry(Answer):
    """One write, done or refused."""

    id: str = Field(description="The id of the call, as `request_id` in its problem.")
    at: Time
    actor: str = Field(description="The key's name; user and machine of who made or revoked a key.")
    api_key: str = Field(description="The key's id; empty where the database was written directly.")
    action: str = Field(description="The operation, as in this document.")
    target: str = Field(description="A run, a cancellation, a function, a replay, a topic, a key.")
    reason: str | None
    request_id: str | None = Field(description="The id of the request that it wrote.")
    dry_run: bool
    outcome: str = Field(
        description="done; undecided when it was answered; pending: the process ended before it "
        "was known; else a problem's code."
    )


class AuditListing(UlidListing):
    """Which entries to list."""

    actor: Name | None = Field(default=None, description="The actor.")
    action: Name | None = Field(default=None, description="The operation.")
    target: Text | None = Field(default=None, description="What it was about.")
    after: Instant | None = Field(default=None, description="Later than this.")
    before: Instant | None = Field(default=None, description="Earlier than this.")


@router.get("/v1/audit", **operation("listAudit", Role.ADMIN, 422))
async def list_(
    request: Request, service: CurrentService, asked: Annotated[AuditListing, Query()]
) -> Page[AuditEntry]:
    """Writes by callers who may write, the newest first."""
    return await service.searches.take(request, lambda: _read(service, asked))


def _read(service: Service, asked: AuditListing) -> Page[AuditEntry]:
    given = {AUDIT.c.actor: asked.actor, AUDIT.c.action: asked.action, AUDIT.c.target: asked.target}
    wanted = [column == value for column, value in given.items() if value is not None]
    if asked.after is not None:
        wanted.append(AUDIT.c.id >= lowest_id(asked.after + 1))
    if asked.before is not None:
        wanted.append(AUDIT.c.id < lowest_id(asked.before))
    with service.engine.connect() as connection:
        rows, last_id = fetch(connection, select(AUDIT).where(*wanted), AUDIT.c.id, asked)
    return page([AuditEntry(**{**row, "at": time_text(row["at"])}) for row in rows], last_id)
