"""A Node app on Countermand, until Ctrl-C: `python -m examples.inngest`.

It starts Kafka and Countermand, `countermand inngest`, and the app in `app/`; then it sends an
event, cancels the run half-way, and says where the dashboard shows that.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import orjson

from streams import private
from streams import settings as countermand
from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.cli.up import end_on_signals
from streams.errors import CountermandError
from streams.local.stack import Stack
from topology import topics

_APP: Final = Path(__file__).parent / "app"
_DATA: Final = Path("~/.local/share/countermand/inngest").expanduser()
_READY_S: Final = 90.0
_POLL_S: Final = 0.2
_KEY: Final = "development"


class Example:
    """What runs here, and the run that is cancelled."""

    def __init__(self, stack: Stack, folder: Path, port: int) -> None:
        """Countermand runs already; `folder` is for logs, `port` is the app's."""
        self._stack = stack
        self._folder = folder
        self._app_url = f"http://127.0.0.1:{port}/api/inngest"
        self._front = f"http://127.0.0.1:{free_port()}"
        self._health = f"http://127.0.0.1:{free_port()}"
        settings = stack.settings
        self._environment = os.environ | {
            "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "COUNTERMAND_STATE_DIR": str(settings.state_dir),
            "COUNTERMAND_INNGEST_PORT": self._front.rpartition(":")[2],
            "COUNTERMAND_WEB_PORT": self._health.rpartition(":")[2],
            "INNGEST_DEV": self._front,
            "PORT": str(port),
        }
        self._started: dict[str, GuardedProcess] = {}

    def start(self) -> None:
        """Start the bridge and the app, and register the app."""
        bridge = [sys.executable, "-m", "streams.cli", "inngest"]
        self._start("countermand inngest", bridge, f"{self._health}/healthz/ready")
        self._start("app", [_node(), str(_APP / "app.mjs")], self._app_url)
        say(f"\n$ countermand inngest sync {self._app_url}")
        sync = [sys.executable, "-m", "streams.cli", "inngest", "sync", self._app_url]
        if subprocess.run(sync, env=self._environment, check=False).returncode:  # noqa: S603  # our own
            raise CountermandError("the app was not registered")

    def play(self) -> None:
        """Send an event, cancel its run, and tell what becomes of it."""
        report, event_id = f"report-{uuid4().hex[:6]}", uuid4().hex
        self._send("report/generation.requested", event_id, report)
        until(lambda: f"{report}: page 3" in self._said("app"), self.check)
        self._send("report/generation.cancelled", uuid4().hex, report)
        until(lambda: self._run(event_id).get("stopped_at"), self.check)
        run = self._run(event_id)
        say(f"\nrun {run['run_id']}: {run['status']}, stopped after {run['last_step']!r}")
        until(lambda: f"{report}: cancelled" in self._said("app"), self.check)
        say("the app says:\n" + "".join(f"    {line}\n" for line in self._said("app").splitlines()))

    def check(self) -> None:
        """Go on only while everything runs.

        Raises:
            CountermandError: Something has ended.
        """
        self._stack.check()
        for name, process in self._started.items():
            if (code := process.wait(0)) is not None:
                raise CountermandError(f"{name} ended with {code}:\n{self._said(name)[-2_000:]}")

    def stop(self) -> None:
        """End the app, then the bridge."""
        while self._started:
            name, process = self._started.popitem()
            say(f"stopping {name}")
            process.stop()

    def _start(self, name: str, command: Sequence[str], ready: str) -> None:
        say(f"starting {name}")
        log = self._log(name)
        log.unlink(missing_ok=True)
        self._started[name] = GuardedProcess(command, log, environment=self._environment)
        until(lambda: _answers(ready), self.check)

    def _send(self, name: str, event_id: str, report: str) -> None:
        event = {"name": name, "id": event_id, "data": {"reportId": report}}
        say(f"\n$ curl {self._front}/e/{_KEY} -d '{orjson.dumps(event).decode()}'")
        answer = httpx.post(f"{self._front}/e/{_KEY}", json=event)
        answer.raise_for_status()
        say(answer.text)

    def _run(self, event_id: str) -> dict[str, Any]:
        """The event's run, as the API has it; empty while it has none."""
        headers = {"Authorization": f"Bearer {self._stack.api_key}"}
        url = f"{self._stack.urls['api']}/v1/events/{event_id}/runs"
        answer = httpx.get(url, headers=headers)
        answer.raise_for_status()
        found = answer.json()["data"] or [{}]
        run: dict[str, Any] = found[0]
        return run

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _said(self, name: str) -> str:
        return self._log(name).read_text(encoding="utf-8", errors="replace")


def until(look: Callable[[], object], check: Callable[[], None]) -> None:
    """Wait until the answer is truthy.

    Raises:
        CountermandError: It isn't in time, or `check` has said why it can't be.
    """
    end = time.monotonic() + _READY_S
    while not look():
        check()
        if time.monotonic() > end:
            raise CountermandError(f"nothing happened within {_READY_S:.0f} s")
        time.sleep(_POLL_S)


def say(text: str) -> None:
    """Tell people what happens."""
    print(text, flush=True)


def _node() -> str:
    node = shutil.which("node")
    if node is None or not (_APP / "node_modules").is_dir():
        raise CountermandError("bash deploy/npm.sh examples/inngest/app installs the app")
    return node


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; 1 if something can't start, or ends."""
    parser = argparse.ArgumentParser(
        prog="inngest", description="Run a Node app on Countermand, with all that it needs."
    )
    parser.add_argument("--port", type=int, default=3000, help="the app's; 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, default=_DATA, help="where everything is kept")
    parser.add_argument("--once", action="store_true", help="end when all was shown")
    chosen = parser.parse_args(arguments)
    end_on_signals()
    # Routers are to read cancelled events too, for `inngest/function.cancelled`.
    prefix = countermand.load().topic_prefix
    read = (topics.EVENTS, topics.CANCELS, topics.CANCELLED)
    os.environ["COUNTERMAND_INPUTS"] = orjson.dumps(
        [{"topic": prefix + spec.name} for spec in read]
    ).decode()
    private.make_folder(chosen.data_dir)
    try:
        with ExitStack() as started:
            stack = started.enter_context(Stack(countermand.load(), chosen.data_dir, say=say))
            example = Example(stack, chosen.data_dir, chosen.port or free_port())
            started.callback(example.stop)
            example.start()
            example.play()
            say(f"the dashboard shows it: open {stack.dashboard}")
            while not chosen.once:
                example.check()
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        say("stopped")
    except (CountermandError, httpx.HTTPError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
