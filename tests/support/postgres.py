"""A real PostgreSQL for the whole test run, and databases that no two tests share."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psycopg
import pytest

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from tests.support.broker import unique_name
from tests.support.deadline import eventually

_USER: Final = "countermand"
# Nobody asks for it, so that no test depends on it; it must never be seen in a message.
PASSWORD: Final = "hunter-2"  # noqa: S105  # of a server that lives for one test run
_INSTALLED: Final = Path("/usr/lib/postgresql")
# The server refuses to run as root.
_UNPRIVILEGED: Final = ("postgres", "nobody")
# What a power failure would lose is of no interest to a test.
_OPTIONS: Final = ("-c", "fsync=off", "-c", "max_connections=50")


class PostgresServer:
    """A cluster of its own in a temporary folder, on a free port of an address of this machine."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Make the cluster; `start` starts its server, which lets in all who reach `host`."""
        initdb = _command("initdb")
        self._host = host
        self._port = free_port(host=host)
        self._folder = Path(tempfile.mkdtemp(prefix="countermand-postgres-"))
        self._process: GuardedProcess | None = None
        if os.geteuid() == 0:
            account = pwd.getpwnam(_unprivileged())
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        options = ["-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale", "C"]
        subprocess.run([*initdb, *options, "--no-sync"], check=True, capture_output=True, cwd="/")
        with Path(self._data, "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        arguments = ("-D", self._data, "-k", str(self._folder), "-h", self._host)
        command = _command("postgres", *arguments, "-p", str(self._port), *_OPTIONS)
        self._process = GuardedProcess(
            command, self._folder / "log", remove_if_orphaned=self._folder
        )
        eventually(self._answers)

    def stop(self) -> None:
        """End the server at once for every client, as an administrator does."""
        if self._process is not None:
            process, self._process = self._process, None
            os.kill(process.pid, signal.SIGINT)
            process.wait(None)

    def remove(self) -> None:
        """End the server and remove the cluster."""
        self.stop()
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = unique_name("test")
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}:{PASSWORD}@{self._host}:{self._port}/{database}"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres")):
                return True
        except psycopg.OperationalError:
            return False


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The one server that all tests of this run share; tests that stop one start their own."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> str:
    """An empty database of each kind, for tests that hold on both."""
    if request.param == "postgresql":
        return postgres.new_database()
    return f"sqlite:///{tmp_path}/test.db"


def _command(program: str, *arguments: str) -> Sequence[str]:
    command = [str(_programs() / program), *arguments]
    if os.geteuid() != 0:
        return command
    account = pwd.getpwnam(_unprivileged())
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    return ["setpriv", *ids, "--pdeathsig=KILL", *command]


def _programs() -> Path:
    """Where the newest server's programs are, which Debian keeps off the PATH."""
    on_path = shutil.which("initdb")
    found = [*_INSTALLED.glob("*/bin/initdb"), *([Path(on_path)] if on_path else [])]
    if not found:
        pytest.fail("PostgreSQL's server is missing: apt-get install postgresql", pytrace=False)
    return max(found, key=_major).parent


def _major(program: Path) -> int:
    version = program.parent.parent.name
    return int(version) if version.isdigit() else 0


def _unprivileged() -> str:
    names = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in names)
