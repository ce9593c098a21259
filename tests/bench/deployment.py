"""Countermand as it is run: topics, functions, and processes of its own beside the broker."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import psutil
from prometheus_client.parser import text_string_to_metric_families

from streams import settings as all_settings
from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.settings import Settings
from tests.bench import cpu
from tests.bench.load import FUNCTIONS
from tests.support.trees import ROOT
from topology import topics
from topology.records import Function

T = TypeVar("T")

# The prototypes that the goals come from had so many.
PARTITIONS: Final = 2
# Python computes on one core in a process, and the goals are for two.
JOINERS: Final = 2
_HTTP_S: Final = 10.0
_PAUSE_S: Final = 0.02
_WRAPPER_S: Final = 60.0
_LOG_CHARS: Final = 4_000
# Each partition has a sample of it, in the process that has the partition.
_PARTITION_METRIC: Final = "countermand_pending_runs"
# Runs a module of a tree, this one or another.
_NAMED: Final = Path(__file__).with_name("named.py")


class BenchError(Exception):
    """A measurement that would not be one: a process ended, counts are wrong, time is over."""


def until(
    look: Callable[[], T], what: str, within_s: float = 120.0, pause_s: float = _PAUSE_S
) -> T:
    """Look again and again until the answer is truthy."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not (found := look()):
        if time.monotonic() > deadline:
            raise BenchError(f"not within {within_s:.0f} s: {what}")
        pause.wait(pause_s)
    return found


class Service:
    """A process of a contestant; it ends with this one, and its words go to a file."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: dict[str, str]
    ) -> None:
        """Start it; `command` begins with the program."""
        self.name = name
        # Whether it runs below another program, which ends after it.
        self.wrapped = False
        self.log = folder / f"{name}.log"
        self._process: GuardedProcess | None = GuardedProcess(command, self.log, environment=env)
        self.pid = self._process.pid

    def check(self) -> None:
        """Refuse to wait for a process that has ended.

        Raises:
            BenchError: it has; with the end of what it said.
        """
        code = self._process.wait(0) if self._process else 0
        if code is not None:
            raise BenchError(f"{self.name} ended with code {code}: {self.said()}")

    def said(self) -> str:
        """The end of what it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARS:]

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        if self._process is not None:
            process, self._process = self._process, None
            self._say_cpu()
            if self.wrapped:
                for child in psutil.Process(self.pid).children():
                    child.terminate()
                process.wait(_WRAPPER_S)
            process.stop()

    def _say_cpu(self) -> None:
        """What it cost, which doesn't depend on what else this machine had to do meanwhile."""
        if psutil.pid_exists(self.pid):
            say(f"  {self.name}", cpu_s=round(cpu.process_s(self.pid), 1))


class WebService(Service):
    """A router or a joiner, with its metrics and health."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: dict[str, str], port: int
    ) -> None:
        """Start it; it serves on `port`."""
        super().__init__(name, command, folder, env)
        self._port = port

    def ready(self) -> bool:
        """Whether it takes input."""
        self.check()
        return self._get("/healthz/ready") is not None

    def wait_ready(self, within_s: float = 120.0) -> None:
        """Wait until it takes input."""
        until(self.ready, f"{self.name} is ready: {self.said()}", within_s)

    def metric(self, name: str, combine: Callable[[list[float]], float] = sum) -> float:
        """A metric's samples, combined over its labels."""
        return combine(self.samples(name) or [0.0])

    def samples(self, name: str, **labels: str) -> list[float]:
        """A metric's samples that have these labels."""
        text = self._get("/metrics") or ""
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return [
            sample.value
            for sample in samples
            if sample.name == name and sample.labels.items() >= labels.items()
        ]

    def _get(self, path: str) -> str | None:
        """A page; None where it says no, or is not there yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_HTTP_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return text if answer.status == http.HTTPStatus.OK else None


class Joiners:
    """Joiners that share the partitions of an application; each has some."""

    def __init__(self, services: Sequence[WebService], partitions: int) -> None:
        """`services` are started already."""
        self._services = services
        self._partitions = partitions

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [service.pid for service in self._services]

    def wait_ready(self, within_s: float = 120.0) -> None:
        """Wait until each takes input, and together they take all."""
        for service in self._services:
            service.wait_ready(within_s)
        until(self._share_all, f"{len(self.pids)} joiners share all partitions", within_s)

    def check(self) -> None:
        """Refuse to wait for one that has ended, as `Service.check` does."""
        for service in self._services:
            service.check()

    def metric(self, name: str, combine: Callable[[list[float]], float] = sum) -> float:
        """A metric's samples, combined over its labels and all joiners."""
        samples = [one for service in self._services for one in service.samples(name)]
        return combine(samples or [0.0])

    def stop(self) -> None:
        """Ask all to end and wait until they have."""
        for service in self._services:
            service.stop()

    def _share_all(self) -> bool:
        shares = [len(service.samples(_PARTITION_METRIC)) for service in self._services]
        ready = all(service.ready() for service in self._services)
        return ready and min(shares) > 0 and sum(shares) == self._partitions


class Deployment:
    """One application on the broker: topics with a prefix of their own, one function, processes."""

    def __init__(  # noqa: PLR0913, PLR0917  # what a measurement varies
        self,
        bootstrap_servers: str,
        folder: Path,
        name: str,
        functions: Sequence[Function] = FUNCTIONS,
        launchers: Mapping[str, Sequence[str]] | None = None,
        tree: Path | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        """Make the topics and apply the functions.

        `launchers` go before command lines, by role. The processes run the code of `tree`, if it is
        given, else of this one.
        """
        self._program = (sys.executable, str(_NAMED), str(tree or ROOT), "streams.cli")
        self.folder = folder / name
        self.folder.mkdir()
        self._launchers = launchers or {}
        self._services: list[Service] = []
        self._flags = {
            "kafka_bootstrap_servers": bootstrap_servers,
            "topic_prefix": f"{name}.",
            "application_id": name,
            "partitions": str(partitions),
            "state_dir": str(self.folder / "state"),
            "log_format": "json",
        }
        self.settings: Settings = all_settings.load(**self._flags)
        create_topics(self.settings)
        apply_functions(
            clients.librdkafka(self.settings), self.settings.topic(topics.FUNCTIONS), functions
        )

    @property
    def triggers_topic(self) -> str:
        """Where trigger events go."""
        return self.settings.topic(topics.EVENTS)

    @property
    def cancels_topic(self) -> str:
        """Where cancel events go."""
        return self.settings.topic(topics.CANCELS)

    @property
    def state(self) -> Path:
        """Where the joiner keeps RocksDB."""
        return self.settings.state_dir

    def router(self, **more: str) -> WebService:
        """Start a router; `more` are settings."""
        return self._start("router", settings=more)

    def joiner(self) -> WebService:
        """Start a joiner, which has all partitions."""
        return self._start("joiner")

    def joiners(self, number: int = JOINERS) -> Joiners:
        """Start so many joiners, each with a disk of its own, as on hosts of their own."""
        disks = [self.folder / f"state-{which}" for which in range(number)]
        services = [self._start("joiner", settings={"state_dir": str(disk)}) for disk in disks]
        return Joiners(services, self.settings.partitions)

    def read_model(self) -> WebService:
        """Start a read model; its database is in the state directory."""
        return self._start("read-model", "run")

    def api(self) -> tuple[WebService, str]:
        """Start the API, on the read model's database; and its URL."""
        port = free_port()
        return self._start("api", port=port), f"http://127.0.0.1:{port}"

    def worker(self, app: str, **more: str) -> WebService:
        """Start a worker of `MODULE:APP`; `more` are settings, or variables in capitals."""
        return self._start("worker", app, settings=more)

    def bridge(self, **more: str) -> tuple[WebService, str]:
        """Start `countermand inngest`; `more` are settings. And where apps find it."""
        port = free_port()
        service = self._start("inngest", settings={"inngest_port": str(port), **more})
        return service, f"http://127.0.0.1:{port}"

    def run(self, *arguments: str) -> None:
        """Run a command of Countermand's to its end.

        Raises:
            BenchError: It failed; with what it said.
        """
        env = clean_environment() | _variables(self._flags)
        command = [*self._program, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{' '.join(arguments)}: {done.stderr}")

    def close(self) -> None:
        """Stop what still runs."""
        while self._services:
            self._services.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(
        self,
        role: str,
        *more: str,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> WebService:
        port = port or free_port()
        launcher = self._launchers.get(role, ())
        command = [*launcher, *self._program, role, *more]
        flags = self._flags | {"api_port" if role == "api" else "web_port": str(port)}
        own = _variables(flags | dict(settings or {}))
        name = f"{role}-{len(self._services)}"
        service = WebService(name, command, self.folder, clean_environment() | own, port)
        service.wrapped = bool(launcher)
        self._services.append(service)
        return service


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables; those in capitals are variables already."""
    return {
        name if name.isupper() else all_settings.variable(name): value
        for name, value in settings.items()
    }


def clean_environment() -> dict[str, str]:
    """The environment of a child, without settings that somebody made for a process of theirs."""
    kept = (all_settings.PREFIX + "CACHE_DIR",)
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.upper().startswith(all_settings.PREFIX)
    }


def say(what: str, **figures: object) -> None:
    """One line for who watches; the result goes last, in one line of its own."""
    print(what, json.dumps(figures) if figures else "", flush=True)
