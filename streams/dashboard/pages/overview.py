"""What waits and what is being cancelled, at a glance."""

from starlette.responses import Response

from streams.dashboard.pages.listing import by_status
from streams.dashboard.pages.plots import plots
from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()
_NEWEST = 10


@pages.get("/")
async def show(visit: Visit) -> Response:
    """The overview."""
    counts = await visit.calls.get("/v1/runs/counts")
    cancellations = await visit.calls.get("/v1/cancellations", limit=_NEWEST)
    return visit.page(
        "overview.html",
        counts=by_status(counts["data"]),
        metadata=counts["metadata"],
        cancellations=cancellations["data"],
        charts=await plots(visit),
    )
