"""Everything that the report app needs, until Ctrl-C: `python -m examples.report_app`.

Without `COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS` it starts Kafka and Countermand too, as
`countermand up` does. With it, Countermand is at work there already.
"""

import argparse
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from examples.report_app.settings import Settings
from examples.report_app.web import DEFAULT_PORT
from streams import private
from streams import settings as countermand
from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.cli.up import end_on_signals
from streams.errors import CountermandError
from streams.local.stack import Stack

_APP: Final = "examples.report_app.functions:app"
_READY_S: Final = 60.0
_POLL_S: Final = 0.2
_TAIL_LINES: Final = 5


class Programs:
    """The app's own processes; they end with this one, however it ends."""

    def __init__(
        self, kafka: countermand.Settings, settings: Settings, stack: Stack | None
    ) -> None:
        """Nothing runs yet."""
        self._stack = stack
        self._folder = settings.data_dir
        self._running: dict[str, GuardedProcess] = {}
        self._environment = os.environ | {
            "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
            "COUNTERMAND_STATE_DIR": str(settings.data_dir / "worker"),
            "REPORT_APP_DATA_DIR": str(settings.data_dir),
            "REPORT_APP_DATABASE_URL": settings.database_url,
        }

    def start(self, name: str, command: Sequence[str], ready: str, **settings: str) -> None:
        """Start a process, and wait until it answers where it is ready.

        Raises:
            CountermandError: it ended, or isn't ready in time.
        """
        process = GuardedProcess(
            [sys.executable, "-m", *command],
            self._log(name),
            environment=self._environment | settings,
        )
        self._running[name] = process
        end = time.monotonic() + _READY_S
        while not _answers(ready):
            self.check()
            if time.monotonic() > end:
                raise CountermandError(f"The {name} isn't ready:\n{self._log_end(name)}")
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Go on only while everything runs.

        Raises:
            CountermandError: something has ended.
        """
        if self._stack is not None:
            self._stack.check()
        for name, process in self._running.items():
            code = process.wait(0)
            if code is not None:
                raise CountermandError(f"The {name} ended with {code}:\n{self._log_end(name)}")

    def stop(self) -> None:
        """End them, the last one first."""
        while self._running:
            name, process = self._running.popitem()
            say(f"stopping the {name}")
            process.stop()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _log_end(self, name: str) -> str:
        log = self._log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([*lines, f"(all of it: {log})"])


@contextmanager
def running(settings: Settings, port: int, tell: Callable[[str], None]) -> Iterator[Programs]:
    """Broker, Countermand, web app and worker; inside the block all are ready."""
    private.make_folder(settings.data_dir)
    kafka = countermand.load()
    with ExitStack() as started:
        stack = None
        if not kafka.bootstrap_given:
            folder = settings.data_dir / "countermand"
            stack = started.enter_context(Stack(kafka, folder, say=tell))
            kafka = stack.settings
        programs = Programs(kafka, settings, stack)
        started.callback(programs.stop)
        tell("starting web app and worker")
        web = ["examples.report_app.web", "--port", str(port)]
        programs.start("web app", web, f"http://127.0.0.1:{port}/healthz")
        health = free_port()
        programs.start(
            "worker",
            ["streams.cli", "worker", _APP],
            f"http://127.0.0.1:{health}/healthz/ready",
            COUNTERMAND_WEB_PORT=str(health),
        )
        yield programs


def say(text: str) -> None:
    """Tell people what happens."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; 1 if something can't start, or ends."""
    parser = argparse.ArgumentParser(
        prog="report_app", description="Run the report app with all that it needs."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--data-dir", type=Path, help="where everything is kept")
    chosen = parser.parse_args(arguments)
    given = {"REPORT_APP_DATA_DIR": str(chosen.data_dir)} if chosen.data_dir else {}
    end_on_signals()
    try:
        port = chosen.port or free_port()
        with running(Settings.load(os.environ | given), port, say) as programs:
            print(f"ready: open http://127.0.0.1:{port}", flush=True)
            while True:
                programs.check()
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        say("stopped")
        return 0
    except CountermandError as error:
        say(str(error))
        return 1


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # our own
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
