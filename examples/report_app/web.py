"""The web app as a process: `python -m examples.report_app.web --port 8500`."""

import argparse
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.orm import sessionmaker

from examples.report_app import pages
from examples.report_app.database import migrate, open_engine
from examples.report_app.outbox import Relay
from examples.report_app.reports import ReportError
from examples.report_app.settings import Settings
from examples.report_app.sign_in import ForgedFormError, NotSignedInError
from streams import settings as countermand
from streams.signals import stopped_by_signals

DEFAULT_PORT: Final = 8500
_DRAIN_S: Final = 2
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    settings: Settings,
    kafka: countermand.Settings,
    is_stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The web app; its relay runs as long as it does.

    Args:
        settings: Its own settings.
        kafka: Where Countermand's topics are.
        is_stopping: Whether streams have to end, because the server does.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_engine(settings)
        try:
            migrate(engine)
            app.state.database = sessionmaker(engine)
            with Relay(engine, kafka) as app.state.relay:
                yield
        finally:
            engine.dispose()

    app = FastAPI(title="Reports", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.is_stopping = is_stopping
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
    app.add_api_route("/healthz", lambda: PlainTextResponse("ok"), include_in_schema=False)
    app.middleware("http")(_secured)
    app.exception_handler(NotSignedInError)(_to_sign_in)
    app.exception_handler(ReportError)(_report_problem)
    app.exception_handler(ForgedFormError)(_form_problem)
    return app


async def _secured(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    answer = await go_on(request)
    answer.headers.update(_SECURITY)
    if not request.url.path.startswith("/static/"):
        answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def _to_sign_in(request: Request, _error: Exception) -> Response:
    if request.method == "GET":
        return RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    return _problem(
        request, HTTPStatus.UNAUTHORIZED, "You are signed out", "Sign in, and try again."
    )


def _report_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReportError)
    return _problem(
        request, error.status, str(error), "It may be somebody else's, or not there any more."
    )


def _form_problem(request: Request, _error: Exception) -> Response:
    advice = "Go back, load the page again, and try once more."
    return _problem(request, HTTPStatus.FORBIDDEN, "This form is out of date", advice)


def _problem(request: Request, status: HTTPStatus, problem: str, advice: str) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": problem}, status)
    values = {"problem": problem, "advice": advice}
    return pages.templates.TemplateResponse(request, "problem.html", values, status_code=status)


def create_server(settings: Settings, kafka: countermand.Settings) -> uvicorn.Server:
    """What serves the app; its `config.app` is the app."""
    # The app asks the server whether it stops, and the server wants the app first.
    app = create_app(settings, kafka, lambda: server.should_exit)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=_DRAIN_S
    )
    server = uvicorn.Server(config)
    return server


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve with the settings of the environment."""
    parser = argparse.ArgumentParser(prog="report_app.web", description="Serve the report app.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with socket.create_server((chosen.host, chosen.port)) as listener:
        port = listener.getsockname()[1]
        print(f"Report app on http://{chosen.host}:{port}", flush=True)
        # Uvicorn repeats a signal when it has stopped: this hears it, and what is open is closed.
        with stopped_by_signals(threading.Event()):
            create_server(Settings.load(), countermand.load()).run(sockets=[listener])


if __name__ == "__main__":
    main()
