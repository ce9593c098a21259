"""`countermand up` and `demo` as users run them: real processes on a real Kafka."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from streams.broker.ports import free_port
from streams.cli.exits import ExitCode
from tests.support.cli import json_lines, json_of, run
from tests.support.deadline import eventually

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
CHECKOUT = Path(__file__).parents[2]
ENDS_WITHIN_S = 120
# Checks of `doctor` that have nothing to say beside an `up`.
BESIDE = {"broker", "topics", "database", "schema", "writing", "read model"}

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.id}]
"""


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start `countermand` without the developer's settings."""
    kept = {name: value for name, value in os.environ.items() if "COUNTERMAND" not in name}
    cache = os.environ.get("COUNTERMAND_CACHE_DIR")
    own = {"COUNTERMAND_API_PORT": str(free_port())}  # others may start one at the same time
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=kept | own | ({"COUNTERMAND_CACHE_DIR": cache} if cache else {}),
        umask=0,  # what is kept is private whatever the mask
    )


def up(folder: Path) -> "subprocess.Popen[str]":
    """Start `countermand up` on ports of its own."""
    return start("up", "--data-dir", str(folder / "data"), "--port", str(free_port()), "--json")


@contextmanager
def stack(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A running `up`, and what it said when it was ready."""
    with up(folder) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline() or "null")
        finally:
            process.terminate()
            process.communicate(timeout=ENDS_WITHIN_S)


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Everything that the process started."""
    return psutil.Process(process.pid).children(recursive=True)


def test_up_cancels_and_stops_in_order(tmp_path: Path) -> None:
    """From an empty folder to a cancelled event; SIGTERM ends every process, with code 0."""
    with stack(tmp_path) as (process, ready):
        where = {"kafka_bootstrap_servers": ready["bootstrap"]}
        assert run("functions", "apply", "-f", "-", stdin=FUNCTIONS, **where).exit_code == 0
        for event in ("report/requested", "report/cancelled"):
            sent = run("events", "send", "--name", event, "--data", '{"id": 1}', "--json", **where)
            assert json_of(sent)["sent"] == 1
        tail = ["cancelled", "tail", "--from-beginning", "--max", "1", "--timeout", "60", "--json"]
        (cancelled,) = json_lines(run(*tail, **where))
        assert cancelled["data"]["function_id"] == "reports-generate"
        assert status_of(ready) == 200
        data = tmp_path / "data"
        assert [one for one in (data, *data.rglob("*")) if one.lstat().st_mode & 0o077] == []
        doctor = json_of(run("doctor", "--json", state_dir=str(data / "state"), **where))
        assert {one["verdict"] for one in doctor["checks"]} <= {"ok", "warning"}, doctor["checks"]
        assert not [one for one in doctor["checks"] if one["name"] in BESIDE and one["remedy"]]
        second = run("up", "--data-dir", str(tmp_path / "data"), **where)
        assert second.exit_code == ExitCode.REFUSED
        children = descendants(process)
        assert len(children) >= 5  # guards and what they guard
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == 0, said
    assert said.index("stopping the router") < said.index("stopping the joiner")
    assert not [child for child in children if child.is_running()]


def status_of(ready: dict[str, Any]) -> int:
    """What the API of an `up` answers to its key."""
    headers = {"Authorization": f"Bearer {ready['api_key']}"}
    url = f"{ready['urls']['api']}/v1/audit"
    return httpx.get(url, headers=headers, timeout=ENDS_WITHIN_S).status_code


@pytest.mark.soak
def test_what_a_killed_up_leaves(tmp_path: Path) -> None:
    """No process: kill -9 of the parent ends them all. And no way in: the next has a new key."""
    with stack(tmp_path) as (process, first):
        children = descendants(process)
        process.kill()
        assert eventually(
            lambda: not [child for child in children if child.is_running()], ENDS_WITHIN_S
        )
    with stack(tmp_path) as (process, ready):
        assert status_of(ready) == 200
        assert status_of(ready | {"api_key": first["api_key"]}) == 401
        said = said_without_joiner(process)
    assert process.returncode == ExitCode.FAILED
    assert "The joiner ended with code" in said


def said_without_joiner(process: "subprocess.Popen[str]") -> str:
    """What an `up` says whose joiner is killed: it doesn't go on with half of it."""
    (joiner,) = [
        child
        for child in descendants(process)
        if child.cmdline()[1:4] == ["-m", "streams.cli", "joiner"]
    ]
    joiner.kill()
    return process.communicate(timeout=ENDS_WITHIN_S)[1]


def test_demo_is_as_it_must_be() -> None:
    """Exit code 0 means that every run of the scenario went as it must."""
    with start("demo", "--json") as process:
        told, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    outcome = json.loads(told)
    assert outcome["ok"]
    assert all(run["as_expected"] for run in outcome["runs"])
