"""Adds the pages to the API's app."""

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from streams.api.app import as_document
from streams.api.call.service import Service
from streams.dashboard import live, sign_in, static
from streams.dashboard.guesses import Guesses
from streams.dashboard.origin import Origin
from streams.dashboard.pages import ALL
from streams.dashboard.routing import PageRoute, answered


def install(app: FastAPI) -> None:
    """Serve the pages at `/`, unless the settings say no."""
    service: Service = app.state.service
    if not service.settings.dashboard:
        return
    app.add_exception_handler(HTTPException, _no_page)
    app.state.origin = Origin.of(service.settings)
    app.state.guesses = Guesses()
    app.state.live = live.Hub(app)
    app.router.routes += [
        PageRoute("/static/{name}", static.serve, methods=["GET"]),
        PageRoute("/live", live.serve, methods=["GET"]),
        *sign_in.routes(),
        *(route for pages in ALL for route in pages.routes),
    ]


async def _no_page(request: Request, error: Exception) -> Response:
    """What is answered to who asks for what isn't there: a page to a browser, else a problem."""
    is_browser = "text/html" in request.headers.get("accept", "")

    async def refuse() -> Response:
        raise error

    if is_browser and not request.url.path.startswith("/v1"):
        return await answered(request, refuse)
    return await as_document(request, error)
