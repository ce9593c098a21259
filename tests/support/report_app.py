"""The report app in tests: its web server in a thread, or all of it as processes."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from sqlalchemy.orm import sessionmaker

from examples.report_app import reports
from examples.report_app.database import Database, open_engine
from examples.report_app.models import Report
from examples.report_app.settings import Settings
from examples.report_app.web import create_server
from streams import settings as countermand
from streams.api.process import listening
from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import JOINER, ROUTER, Service, environment
from topology import topics

PATIENCE_S: Final = 90
APP: Final = "examples.report_app.functions:app"


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
    with listening(kafka.api_host, 0, "API") as listener:
        server = create_server(settings, kafka)
        thread = threading.Thread(target=server.run, args=([listener],), name="report app")
        thread.start()
        served = Served(server, thread, f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            eventually(lambda: server.started)
            yield served
        finally:
            served.end()


class Program:
    """One of the app's processes: killed and started again, it has the same address."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str], ready: str) -> None:
        """Nothing runs yet; `ready` is the URL that answers when it does."""
        self._command = [sys.executable, "-m", *command]
        self._log = log
        self._env = env
        self._ready = ready
        self._process: GuardedProcess | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = GuardedProcess(self._command, self._log, environment=self._env)
        eventually(self._is_ready, PATIENCE_S)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            process, self._process = self._process, None
            process.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.wait(0) is None, self._log.read_text("utf-8")[-2_000:]
        try:
            return httpx.get(self._ready).is_success
        except httpx.TransportError:
            return False


class ReportApp:
    """Router, joiner, worker and web app as processes; a context manager."""

    def __init__(self, bootstrap: str, folder: Path, **settings: str) -> None:
        """All on one broker; `settings` are those of the app."""
        name = unique_name("reports")
        self.kafka = countermand.load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
        )
        own = {"DATA_DIR": str(folder), "SLEEP": "2s", "COMPUTE_SECONDS": "2", **settings}
        self._own = {f"REPORT_APP_{key}": value for key, value in own.items()}
        self.settings = Settings.load(self._own)
        self._services = [Service(role, self.kafka, folder) for role in (JOINER, ROUTER)]
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.web = Program(
            ["examples.report_app.web", "--port", str(port)],
            folder / "web.log",
            environment(self.kafka) | self._own,
            f"{self.url}/healthz",
        )
        self._folder = folder
        self.worker = self.another_worker(1)
        self._engine = open_engine(self.settings)
        self.database = sessionmaker(self._engine)

    def another_worker(self, number: int) -> Program:
        """A worker beside the others."""
        port = free_port()
        own = {
            "COUNTERMAND_WEB_PORT": str(port),
            "COUNTERMAND_STATE_DIR": str(self._folder / f"worker{number}"),
        }
        return Program(
            ["streams.cli", "worker", APP],
            self._folder / f"worker{number}.log",
            environment(self.kafka) | self._own | own,
            f"http://127.0.0.1:{port}/healthz/ready",
        )

    def __enter__(self) -> Self:
        try:
            create_topics(self.kafka)
            for service in self._services:
                service.start()
            self.web.start()
            eventually(lambda: all(one.is_ready for one in self._services), PATIENCE_S)
            self.worker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        self.worker.stop()
        self.web.stop()
        for service in reversed(self._services):
            service.end()
        self._engine.dispose()

    @contextmanager
    def frozen_worker(self) -> Iterator[None]:
        """Nothing goes on for the block; the worker isn't frozen while it locks the database."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self.worker.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.worker.signal(signal.SIGCONT)

    def report(self, user: str, title: str) -> Report:
        """A user's report, as it is now."""
        (found,) = [one for one in reports.of_user(self.database, user) if one.title == title]
        return found

    def reaches(self, user: str, title: str, *statuses: str) -> Report:
        """A user's report, once it has one of these statuses."""

        def look() -> Report | None:
            found = self.report(user, title)
            return found if found.status in statuses else None

        found = eventually(look, PATIENCE_S)
        assert found is not None
        return found

    def is_at(self, user: str, title: str, stage: str) -> None:
        """Wait until a report's run is so far; it goes on, so freeze the worker right after."""
        eventually(lambda: self.report(user, title).stage == stage, PATIENCE_S)

    def run_of(self, report: Report) -> dict[str, Any]:
        """The newest record in `runs` of a report's run."""
        newest: dict[str, Any] = {}
        for message in read_all(self.kafka, self.kafka.topic(topics.RUNS)):
            record = orjson.loads(message.value() or b"{}")
            if record.get("event", {}).get("id") == report.request_id:
                newest = record
        return newest

    def left_files(self, report: Report) -> list[str]:
        """What lies in a report's folder."""
        return sorted(path.name for path in (self.settings.files / report.id).glob("*"))


class Visitor:
    """Somebody who uses the app without a browser; a context manager."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_S)
        assert (
            self._client.post("/sign-in", data={"name": name}).status_code == httpx.codes.SEE_OTHER
        )
        page = self._client.get("/reports").text
        found = re.search(r'name="csrf" value="(\w+)"', page)
        assert found
        self._csrf = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, title: str, year: int = 2025) -> None:
        """Make a report."""
        assert (
            self._post("/reports", title=title, year=str(year)).status_code == httpx.codes.SEE_OTHER
        )

    def ask(self, report: Report, action: str) -> httpx.Response:
        """Press a button of a report."""
        return self._post(f"/reports/{report.id}/{action}")

    def _post(self, path: str, **fields: str) -> httpx.Response:
        accept = {"Accept": "application/json"} if "/reports/" in path else None
        return self._client.post(path, data={"csrf": self._csrf, **fields}, headers=accept)
