"""The first commands of the page about Kubernetes, typed as they stand there."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx

from tests.kubernetes.user import sign_in
from tests.repo.docs_blocks import read_blocks
from tests.support.deadline import eventually

_ROOT: Final = Path(__file__).parents[2]
_PAGE: Final = _ROOT / "docs/kubernetes.md"
_URL: Final = "http://localhost:8420"  # which the page names
_KEY: Final = re.compile(r"^cmk_\S+$", re.MULTILINE)
_WITHIN_S: Final = 420


def follow(environment: Mapping[str, str], log: Path) -> None:
    """Run the block, whose last command goes on, and find the cancelled run in the dashboard."""
    block = read_blocks(_PAGE.read_text())[0]
    with log.open("w") as output:
        script = "\n".join(("set -euo pipefail", *block.code))
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=_ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:

        def is_served() -> bool:
            assert shell.poll() is None, f"the commands of {_PAGE} failed:\n{log.read_text()}"
            return _answers()

        eventually(is_served, _WITHIN_S, every_s=0.5)
        [key] = _KEY.findall(log.read_text())
        with closing(sign_in(_URL, key)) as browser:
            eventually(lambda: "report/cancelled" in _newest_run(browser), _WITHIN_S)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()


def _answers() -> bool:
    try:
        return httpx.get(f"{_URL}/healthz/ready").is_success
    except httpx.HTTPError:
        return False


def _newest_run(browser: httpx.Client) -> str:
    """The page of the run that is first in the list of cancelled runs; empty if there is none."""
    runs = browser.get("/runs", params={"status": "Cancelled"}).raise_for_status().text
    found = re.search(r"(/runs/[0-9A-Z]{26})\b", runs)
    return browser.get(found[1]).raise_for_status().text if found else ""
