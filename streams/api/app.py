"""The FastAPI application: routes, and every error as a problem."""

import asyncio
from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from streams.api import openapi
from streams.api.call.front import Front
from streams.api.call.service import Service
from streams.api.problems import ProblemError, as_problem
from streams.api.routes import (
    activity,
    audit,
    cancellations,
    dead_letters,
    events,
    functions,
    health,
    keys,
    read_model,
    replays,
    run_counts,
    run_rules,
    runs,
    system,
)

ROUTERS: Final = (
    cancellations.router,
    run_counts.router,
    runs.router,
    run_rules.router,
    functions.router,
    replays.router,
    events.router,
    dead_letters.router,
    activity.router,
    audit.router,
    keys.router,
    read_model.router,
    system.router,
    health.router,
)
# The page's script and style come with a package: the networks of users may not reach a CDN.
_ASSETS: Final = Path(fastapi_offline.__file__).parent / "static"
_ASSETS_URL: Final = "/docs/assets"


def create_app(service: Service) -> FastAPI:
    """The application on top of a service."""
    app = FastAPI(
        title="Countermand",
        version=openapi.VERSION,
        summary="Cancels pending work.",
        description=openapi.DESCRIPTION,
        openapi_tags=list(openapi.TAGS),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.stopping = asyncio.Event()  # set when the server stops
    for router in ROUTERS:
        app.include_router(router)
    for kind in (ProblemError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, as_document)
    app.mount(_ASSETS_URL, StaticFiles(directory=_ASSETS))
    app.add_api_route("/docs", _page, include_in_schema=False)
    app.add_middleware(Front, service=service)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's own way
    return app


async def as_document(request: Request, error: Exception) -> Response:
    """An error as a problem."""
    problem = as_problem(error, request.url.path)
    assert problem is not None
    return problem.answer(request.url.path, request.state.http_id)


async def _page() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Countermand",
        swagger_js_url=f"{_ASSETS_URL}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS_URL}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS_URL}/favicon.png",
        swagger_ui_parameters={"persistAuthorization": True},
    )
