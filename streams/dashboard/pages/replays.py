"""Replays: a list, and one with its progress."""

from starlette.responses import Response
from ulid_transform import ulid_now

from streams.dashboard.calls import Document
from streams.dashboard.pages.listing import next_page
from streams.dashboard.progress import pace
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()


@pages.get("/replays")
async def list_(visit: Visit) -> Response:
    """Replays, the newest first."""
    slug = visit.query.get("function_id", "")
    found = await visit.calls.get(
        "/v1/replays", function_id=slug, cursor=visit.query.get("cursor"), limit=50
    )
    return visit.page("replays.html", found=found, function_id=slug, next=next_page(visit, found))


@pages.get("/replays/{replay_id}")
async def show(visit: Visit) -> Response:
    """One replay, and the runs that it made."""
    id_ = visit.ulid("replay_id")
    answer = await visit.calls.get(f"/v1/replays/{id_}")
    found: Document = answer["data"]
    runs = await visit.calls.get("/v1/runs", replay_id=id_, cursor=visit.query.get("cursor"))
    now = answer["metadata"]["fetched_at"]
    return visit.page(
        "replay.html",
        replay=found,
        metadata=answer["metadata"],
        pace=pace(found["status"], found["counts"]["replayed"], None, found["created_at"], now),
        runs=runs,
        next=next_page(visit, runs),
        once=ulid_now(),
    )
