"""Routers and joiners as processes of their own, to be killed, stopped and continued."""

import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.settings import Settings

ROUTER: Final = "router"
JOINER: Final = "joiner"
SESSION_TIMEOUT_S: Final = 6
_OWNED: Final = {
    ROUTER: re.compile(r'countermand_lag_records\{partition="(\d+)",topic="([^"]+)"\}'),
    JOINER: re.compile(r'countermand_pending_runs\{partition="(\d+)"()\}'),
}


class Service:
    """One router or joiner; started again, it is the same member with the same disk."""

    def __init__(
        self, role: str, number: int, settings: Settings, folder: Path, *, static: bool
    ) -> None:
        self.role = role
        self.name = f"{role}{number}"
        self.log = folder / f"{self.name}.log"
        self.is_paused = False
        self.exits: list[int] = []
        self._port = free_port()
        self._environment = environment(settings) | {
            "COUNTERMAND_WEB_PORT": str(self._port),
            "COUNTERMAND_STATE_DIR": str(folder / self.name),
            "COUNTERMAND_LOG_FORMAT": "json",
        }
        if static:
            self._environment["COUNTERMAND_GROUP_INSTANCE_ID"] = self.name
        self._process: GuardedProcess | None = None

    def start(self) -> None:
        """Start it, where it doesn't run."""
        if self._process is None:
            command = [sys.executable, "-m", "streams.cli", self.role]
            self._process = GuardedProcess(command, self.log, environment=self._environment)

    def kill(self) -> None:
        """End it as a crash does."""
        self.end(orderly=False)

    def end(self, *, orderly: bool = True) -> int | None:
        """End it, with SIGTERM or SIGKILL; its exit code."""
        if self._process is None:
            return None
        self.resume()
        process, self._process = self._process, None
        self.is_paused = False
        return process.stop() if orderly else process.kill()

    def pause(self) -> None:
        """Freeze it."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        self.is_paused = True

    def kill_paused(self) -> None:
        """Kill it without letting it go on for a moment."""
        assert self._process is not None
        process, self._process = self._process, None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        self.is_paused = False

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None and self.is_paused:
            os.kill(self._process.pid, signal.SIGCONT)
        self.is_paused = False

    def look_after(self) -> None:
        """Start it again if it ended by itself, as a supervisor does."""
        if self._process is not None and not self.is_paused:
            code = self._process.wait(0)
            if code is not None:
                self.exits.append(code)
                self._process = None
                self.start()

    def owned(self) -> set[tuple[str, int]]:
        """What it works on, by its metrics; a joiner's partitions have no topic's name."""
        pattern = _OWNED[self.role]
        return {(topic, int(number)) for number, topic in pattern.findall(self._page("/metrics"))}

    @property
    def is_ready(self) -> bool:
        """Whether all that it owns is at work."""
        return bool(self._page("/healthz/ready"))

    def _page(self, path: str) -> str:
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # our own
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""


class Fleet:
    """Two of each; one of them a static member of its group, the other a dynamic one."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.services = [
            Service(role, number, settings, folder, static=number == 1)
            for role in (JOINER, ROUTER)
            for number in (1, 2)
        ]

    def of(self, role: str) -> Iterator[Service]:
        """All of one role."""
        return (one for one in self.services if one.role == role)

    def other(self, service: Service) -> Service:
        """The other one of the same role."""
        [other] = [one for one in self.of(service.role) if one is not service]
        return other

    def start(self) -> None:
        """Start all that don't run, and let go on those that are paused."""
        for service in self.services:
            service.resume()
            service.start()

    def look_after(self) -> None:
        """Start again what ended by itself."""
        for service in self.services:
            service.look_after()

    def end(self) -> dict[str, int]:
        """End all in order; their exit codes."""
        codes = {one.name: one.end() for one in reversed(self.services)}
        return {name: code for name, code in codes.items() if code is not None}


def environment(settings: Settings) -> dict[str, str]:
    """A process's environment: these settings, and nothing of the developer's."""
    env = {name: one for name, one in os.environ.items() if not name.startswith("COUNTERMAND_")}
    return env | {
        "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "COUNTERMAND_TOPIC_PREFIX": settings.topic_prefix,
        "COUNTERMAND_APPLICATION_ID": settings.application_id,
        "COUNTERMAND_PARTITIONS": str(settings.partitions),
        "COUNTERMAND_SESSION_TIMEOUT": f"{SESSION_TIMEOUT_S}s",
        "COUNTERMAND_ROCKSDB_MEMORY_MIB": "64",
    }
