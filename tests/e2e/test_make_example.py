"""`make example`: everything is started, and nothing is left after Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Page

from tests.e2e.pages import dialog, generate, shows, sign_in
from tests.support.api import NOWHERE
from tests.support.deadline import eventually, has_ended
from tests.support.report_app import PATIENCE_S

OpenPage = Callable[..., Page]


def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """The example on a free port, with nothing of the developer's settings."""
    own = ("COUNTERMAND_", "REPORT_APP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.Popen(
        # A test run in the background ignores Ctrl-C, and so would what it starts.
        [
            *("env", "--default-signal=INT", sys.executable, "-m", "examples.report_app"),
            *("--port", "0", "--data-dir", str(folder)),
        ],
        # A run goes on until it is cancelled.
        env=kept | {"REPORT_APP_SLEEP": "1h"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_from_nothing(prepared_cache: None, tmp_path: Path, open_page: OpenPage) -> None:
    """It brings its own Kafka; a report is cancelled; Ctrl-C ends every process."""
    example = start(tmp_path)
    try:
        assert example.stdout is not None
        line = example.stdout.readline()
        assert line.startswith("ready: open http://127.0.0.1:")
        page = open_page(line.split()[-1])
        sign_in(page, "ann")
        report = generate(page, "Sales")
        report.get_by_role("button", name="Cancel report").click()
        dialog(page).get_by_role("button", name="Cancel report").click()
        shows(report, "Cancelled")
        children = psutil.Process(example.pid).children(recursive=True)
        assert len(children) > 6
        example.send_signal(signal.SIGINT)
        assert example.wait(PATIENCE_S) == 0
        eventually(lambda: all(has_ended(child.pid) for child in children))
    finally:
        example.kill()
        example.communicate()


def test_what_can_not_start(tmp_path: Path) -> None:
    """It ends with code 1, and with what the process said that can't start."""
    example = start(tmp_path, COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    out, said = example.communicate(timeout=PATIENCE_S)
    assert (example.returncode, out) == (1, "")
    assert "The worker ended with" in said
    assert "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS" in said
