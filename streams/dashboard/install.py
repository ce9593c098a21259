"""Adds the pages to the API's app."""

from fastapi import FastAPI
from starlette.routing import Route

from streams.api.call.service import Service
from streams.dashboard import live, sign_in, static
from streams.dashboard.guesses import Guesses
from streams.dashboard.origin import Origin
from streams.dashboard.pages import ALL


def install(app: FastAPI) -> None:
    """Serve the pages at `/`, unless the settings say no."""
    service: Service = app.state.service
    if not service.settings.dashboard:
        return
    app.state.origin = Origin.of(service.settings)
    app.state.guesses = Guesses()
    app.state.live = live.Hub(app)
    app.router.routes += [
        Route("/static/{name}", static.serve, methods=["GET"]),
        Route("/live", live.serve, methods=["GET"]),
        *sign_in.routes(),
        *(route for pages in ALL for route in pages.routes),
    ]
