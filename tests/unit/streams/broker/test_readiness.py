import sys
from pathlib import Path

import pytest

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.broker.readiness import Contact, last_lines, wait_until_ready
from streams.errors import BrokerError


def nobody() -> Contact:
    """An address where no broker answers."""
    return Contact(f"127.0.0.1:{free_port()}", "cluster")


def test_a_failed_start_shows_why(tmp_path: Path) -> None:
    """The error carries the exit code and the last lines of the log, not the first."""
    log = tmp_path / "broker.log"
    program = "print(*range(100), sep='\\n'); print('port is in use'); raise SystemExit(3)"
    process = GuardedProcess([sys.executable, "-c", program], log)
    with pytest.raises(BrokerError, match=r"code 3[^$]*port is in use") as caught:
        wait_until_ready(process, nobody(), log, 60)
    assert str(log) in str(caught.value)
    assert "\n50\n" not in str(caught.value)


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """A program that runs but never answers is an error too."""
    program = "import signal; print('thinking', flush=True); signal.pause()"
    process = GuardedProcess([sys.executable, "-c", program], tmp_path / "log")
    with pytest.raises(BrokerError, match="does not answer after 0 s"):
        wait_until_ready(process, nobody(), tmp_path / "log", 0.2)
    process.kill()


def test_a_missing_log_is_no_second_problem(tmp_path: Path) -> None:
    """The first error is told although there is no log."""
    assert str(tmp_path / "absent") in last_lines(tmp_path / "absent")
