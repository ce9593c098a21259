"""System: who is at work, how far behind, on which topics, settings and versions."""

from starlette.responses import Response

from streams.dashboard.routing import Pages
from streams.dashboard.visit import Visit

pages = Pages()


@pages.get("/system")
async def show(visit: Visit) -> Response:
    """The system, as Kafka and this process tell it."""
    found = await visit.calls.get("/v1/system")
    return visit.page("system.html", system=found["data"], metadata=found["metadata"])
