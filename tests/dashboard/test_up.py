"""`countermand up` prints a link: one click, and one is in."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from streams.settings import load
from tests.dashboard.site import PATIENCE_S
from tests.dashboard.visits import follow_link
from tests.support.broker import unique_name
from tests.support.services import environment

OpenPage = Callable[..., Page]


def test_the_printed_link(kafka: str, tmp_path: Path, open_page: OpenPage) -> None:
    """It works once, and stands in no log."""
    name = unique_name("up")
    settings = load(kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", application_id=name)
    up = subprocess.Popen(
        # A test run in the background ignores Ctrl-C, and so would what it starts.
        [
            *("env", "--default-signal=INT", sys.executable, "-m", "streams.cli", "up"),
            *("--data-dir", str(tmp_path)),
        ],
        env=environment(settings) | {"COUNTERMAND_API_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert up.stdout is not None
        printed = (re.match(r"dashboard: open (\S+) ", line) for line in up.stdout)
        link = next(found[1] for found in printed if found)
        page, other = open_page(""), open_page("")
        follow_link(page, link)
        other.goto(link)
        other.get_by_role("button", name="Open the dashboard").click()
        expect(other.get_by_role("alert")).to_contain_text("This link was used")
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
        token = link.rpartition("=")[2]
        logs = list(tmp_path.glob("*.log"))
        assert len(logs) >= 4
        assert [log for log in logs if token in log.read_text("utf-8")] == []
    finally:
        up.kill()
        up.communicate()
