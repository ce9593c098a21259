"""Countermand's processes as processes of their own, to be killed, stopped and continued."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.health import OK
from streams.settings import Settings
from tests.support.trees import program

ROUTER: Final = "router"
JOINER: Final = "joiner"
READ_MODEL: Final = "read-model"
API: Final = "api"
SESSION_TIMEOUT_S: Final = 6
_OWNED: Final = {
    ROUTER: re.compile(r'countermand_lag_records\{partition="(\d+)",topic="([^"]+)"\}'),
    JOINER: re.compile(r'countermand_pending_runs\{partition="(\d+)"()\}'),
}


class Service:
    """One process; started again, it is the same member with the same disk and address."""

    def __init__(  # noqa: PLR0913 - each is one independent property of a process
        self,
        role: str,
        settings: Settings,
        folder: Path,
        *,
        number: int = 1,
        static: bool = False,
        extra: Mapping[str, str] | None = None,
        tree: Path | None = None,
    ) -> None:
        """Prepare one; `extra` are settings of its own, in the environment's upper case.

        It runs the code of `tree`, if it is given, else of this one.
        """
        self.role = role
        self.name = f"{role}{number}"
        self.log = folder / f"{self.name}.log"
        self.disk = folder / self.name
        self.is_paused = False
        # How it ended each time that it did so by itself: the code and its last words.
        self.exits: list[str] = []
        self._port = free_port()
        self._environment = environment(settings) | {
            "COUNTERMAND_API_PORT" if role == API else "COUNTERMAND_WEB_PORT": str(self._port),
            "COUNTERMAND_STATE_DIR": str(self.disk),
            "COUNTERMAND_LOG_FORMAT": "json",
            **{f"COUNTERMAND_{name}": value for name, value in (extra or {}).items()},
        }
        if static:
            self._environment["COUNTERMAND_GROUP_INSTANCE_ID"] = self.name
        self._program = program("streams.cli", tree)
        self._process: GuardedProcess | None = None

    def configure(self, **settings: str) -> None:
        """Set more, in the environment's upper case; counts from the next start on."""
        self._environment |= {f"COUNTERMAND_{name}": value for name, value in settings.items()}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with the settings of this process."""
        command = [*self._program, *arguments]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=300
        )

    def start(self, crash_at: str = "") -> None:
        """Start it, where it doesn't run; it dies at a step of `streams.crash`, if one is named."""
        if self._process is None:
            command = [*self._program, *self._arguments()]
            env = self._environment | ({"COUNTERMAND_CRASH_AT": crash_at} if crash_at else {})
            self._process = GuardedProcess(command, self.log, environment=env)

    def _arguments(self) -> list[str]:
        return [self.role, "run"] if self.role == READ_MODEL else [self.role]

    @property
    def pid(self) -> int:
        """Its process, which runs."""
        assert self._process is not None
        return self._process.pid

    def wait(self, seconds: float = 60) -> int | None:
        """Wait until it ends by itself; its exit code, as a shell reports it."""
        assert self._process is not None
        code = self._process.wait(seconds)
        if code is not None:
            self._process = None
        return code

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
                self.exits.append(f"{code}: {''.join(self.last_words(1))}")
                self._process = None
                self.start()

    def owned(self) -> set[tuple[str, int]]:
        """What it works on, by its metrics; a joiner's partitions have no topic's name."""
        pattern = _OWNED[self.role]
        return {(topic, int(number)) for number, topic in pattern.findall(self._get("/metrics")[1])}

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_ready(self) -> bool:
        """Whether all that it owns is at work."""
        return self._get("/healthz/ready")[0] == OK

    @property
    def readiness(self) -> str:
        """What it says about its readiness; empty where it says nothing."""
        return self._get("/healthz/ready")[1]

    def metric(self, name: str) -> float:
        """A metric's value, by name and labels as on the page; 0 where it isn't there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self._get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def last_words(self, lines: int) -> list[str]:
        """The last lines of its log, without what is too long to read."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return [line[:400] for line in text.splitlines()[-lines:]]

    def said(self, text: str) -> int:
        """How often its log has a text."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(text)

    def _get(self, path: str) -> tuple[int, str]:
        url = f"{self.url}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""


def environment(settings: Settings) -> dict[str, str]:
    """A process's environment: these settings, and nothing of the developer's."""
    env = {name: one for name, one in os.environ.items() if not name.startswith("COUNTERMAND_")}
    env["COUNTERMAND_KAFKA_SECURITY_PROTOCOL"] = settings.kafka_security_protocol
    if settings.kafka_ssl_ca is not None:
        env["COUNTERMAND_KAFKA_SSL_CA"] = str(settings.kafka_ssl_ca)
    if settings.kafka_sasl_password is not None:
        env |= {
            "COUNTERMAND_KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism or "",
            "COUNTERMAND_KAFKA_SASL_USERNAME": settings.kafka_sasl_username or "",
            "COUNTERMAND_KAFKA_SASL_PASSWORD": settings.kafka_sasl_password.get_secret_value(),
        }
    return env | {
        "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "COUNTERMAND_TOPIC_PREFIX": settings.topic_prefix,
        "COUNTERMAND_APPLICATION_ID": settings.application_id,
        "COUNTERMAND_SESSION_TIMEOUT": f"{SESSION_TIMEOUT_S}s",
        "COUNTERMAND_ROCKSDB_MEMORY_MIB": "64",
    }
