"""The report app's web server in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from examples.report_app.database import Database
from examples.report_app.settings import Settings
from examples.report_app.web import create_server
from streams import settings as countermand
from streams.api.process import listening
from tests.support.deadline import eventually


class Served:
    """A server that has started."""

    def __init__(self, server: uvicorn.Server, thread: threading.Thread, url: str) -> None:
        self.url = url
        self._server = server
        self._thread = thread

    @property
    def database(self) -> Database:
        """What it writes to."""
        app = self._server.config.app
        assert isinstance(app, FastAPI)
        found: Database = app.state.database
        return found

    def end(self) -> None:
        """End it in order."""
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def serving(settings: Settings, kafka: countermand.Settings) -> Iterator[Served]:
    """The web app with these settings, on a free port."""
    with listening(kafka.model_copy(update={"api_port": 0})) as listener:
        server = create_server(settings, kafka)
        thread = threading.Thread(target=server.run, args=([listener],), name="report app")
        thread.start()
        served = Served(server, thread, f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            eventually(lambda: server.started)
            yield served
        finally:
            served.end()
