"""Everything on this machine: broker if none is given, topics, one process of every kind.

They are child processes that end with this one, however it ends. They stop in the order of the
flow: what takes requests first, the broker last.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import httpx

from streams import private
from streams.api.call.keys import key_id, local_user, replace_key
from streams.api.call.roles import Role
from streams.broker.local import LocalBroker
from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.clock import now_ms
from streams.dashboard.sessions import make_link
from streams.dashboard.sign_in import LINK_PATH
from streams.database.engine import open_database, translated
from streams.durations import format_duration
from streams.errors import CountermandError, RefusedError
from streams.health import OK
from streams.kafka.topics import create_topics
from streams.settings import Settings

API: Final = "api"
ROUTER: Final = "router"
JOINER: Final = "joiner"
READ_MODEL: Final = "read-model"
_WITH_METRICS: Final = (ROUTER, JOINER, READ_MODEL)
_COMMANDS: Final = {READ_MODEL: (READ_MODEL, "run")}
_KEY_NAME: Final = "up"
# Of new topics, unless the settings say it: one machine has few cores.
_PARTITIONS: Final = 4
# After a crash of the whole stack, Kafka waits so long for the old members of its groups.
_SESSION: Final = timedelta(seconds=10)
_READY_S: Final = 90.0
_POLL_S: Final = 0.1
_TAIL_LINES: Final = 5
_TAIL_CHARS: Final = 400


class StackError(CountermandError):
    """A process of the stack ended, or didn't become ready."""


class Stack:
    """Broker and processes as one context manager; inside the block all are ready.

    Args:
        settings: As the processes shall have them; a broker is started unless they name one.
        data_dir: Where everything is kept; one stack at a time.
        port: The broker's port; a free one if None.
        api_port: The API's port; a free one if None.
        say: Called with each step, as text.

    Raises:
        RefusedError: another stack runs in this folder.
        StackError: a process ended or didn't become ready.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        *,
        port: int | None = None,
        api_port: int | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is started before the block is entered."""
        self._data_dir = data_dir.expanduser().absolute()
        changes = {"state_dir": self._data_dir / "state", "api_host": "127.0.0.1"}
        self.settings = settings.model_copy(update=changes)
        self.api_key = ""
        self._link = ""
        self._port = port
        self._say = say
        self._exits = ExitStack()
        self._children: dict[str, GuardedProcess] = {}
        ports = {API: api_port or free_port()} | {name: free_port() for name in _WITH_METRICS}
        self._urls = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}

    @property
    def urls(self) -> dict[str, str]:
        """Where each process serves: the API, and metrics and health of every one."""
        return self._urls

    @property
    def dashboard(self) -> str:
        """The address that signs in to the dashboard, once, within ten minutes of the start."""
        return f"{self._urls[API]}{LINK_PATH}?token={self._link}"

    @property
    def key_file(self) -> Path:
        """Where `api_key` is kept, for this user alone."""
        return self._data_dir / "api-key"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def check(self) -> None:
        """Check that all processes run.

        Raises:
            StackError: a process has ended; the message has the end of its log.
        """
        for name, child in self._children.items():
            code = child.wait(0)
            if code is not None:
                raise StackError(f"The {name} ended with code {code}:\n{self._log_end(name)}")

    def _start(self) -> None:
        private.make_folder(self._data_dir)
        self._exits.enter_context(_locked(self._data_dir / "lock"))
        if not self.settings.bootstrap_given:
            self._say("starting Kafka")
            broker = LocalBroker(self._data_dir / "kafka", self._port)
            self._exits.callback(broker.close)
            broker.start()
            found: dict[str, object] = {"kafka_bootstrap_servers": broker.bootstrap_servers}
            if self.settings.source("session_timeout") == "default":
                found["session_timeout"] = _SESSION
            self.settings = self.settings.model_copy(update=found)
        self._say("making topics")
        create_topics(self.settings, count=_PARTITIONS)
        self._make_key()
        self._say("starting router, joiner, read model and API")
        for name in (JOINER, ROUTER, READ_MODEL, API):  # stopped the other way round
            child = GuardedProcess(
                self._command(name), self._log(name), environment=self._environment()
            )
            self._children[name] = child
            self._exits.callback(self._stop, name)
        self._wait_until_ready()

    def _make_key(self) -> None:
        """Make a new API key, and revoke those of earlier starts."""
        engine = open_database(self.settings)
        try:
            with translated(engine):
                actor = local_user()
                self.api_key = replace_key(engine, _KEY_NAME, Role.ADMIN, now_ms(), actor=actor)
                self._link = make_link(engine, key_id(self.api_key) or "", now_ms())
        finally:
            engine.dispose()
        self.key_file.unlink(missing_ok=True)
        private.make_file(self.key_file)
        self.key_file.write_text(f"{self.api_key}\n", encoding="ascii")

    def _stop(self, name: str) -> None:
        self._say(f"stopping the {name}")
        self._children.pop(name).stop()

    def _environment(self) -> dict[str, str]:
        """The environment of the processes, with the setting that has no flag."""
        session_ms = round(self.settings.session_timeout.total_seconds() * 1000)
        return os.environ | {"COUNTERMAND_SESSION_TIMEOUT": format_duration(session_ms)}

    def _command(self, name: str) -> list[str]:
        settings = self.settings
        flags = {
            "--bootstrap-servers": settings.kafka_bootstrap_servers,
            "--topic-prefix": settings.topic_prefix,
            "--log-format": "json",
        }
        port = self._urls[name].rpartition(":")[2]
        flags |= {"--host": "127.0.0.1", "--port": port} if name == API else {"--web-port": port}
        if name != ROUTER:
            flags["--state-dir"] = str(settings.state_dir)
        command = [sys.executable, "-m", "streams.cli", *_COMMANDS.get(name, (name,))]
        return command + [part for flag in flags.items() for part in flag]

    def _wait_until_ready(self) -> None:
        waiting = set(self._urls)
        end = time.monotonic() + _READY_S
        while waiting:
            self.check()
            waiting = {name for name in waiting if not _is_ready(self._urls[name])}
            if waiting and time.monotonic() > end:
                name = min(waiting)
                raise StackError(
                    f"The {name} isn't ready after {_READY_S:.0f} s:\n{self._log_end(name)}"
                )
            time.sleep(_POLL_S if waiting else 0)

    def _log(self, name: str) -> Path:
        return self._data_dir / f"{name}.log"

    def _log_end(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        last = [line[:_TAIL_CHARS] for line in lines[-_TAIL_LINES:]]
        return "\n".join([*last, f"(all of it: {self._log(name)})"])


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz/ready", timeout=2, trust_env=False).status_code == OK
    except httpx.TransportError:
        return False


def _locked(path: Path) -> IO[str]:
    """The open lock file of a folder; the lock goes with the process, however it ends."""
    private.make_file(path)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RefusedError(
            f"Another `countermand up` runs in {path.parent}: choose another --data-dir"
        ) from None
    return file
