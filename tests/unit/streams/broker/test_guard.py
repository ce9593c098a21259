import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from streams.broker import guard
from streams.broker.process import GuardedProcess
from streams.errors import BrokerError
from tests.support.deadline import eventually, has_ended

WAIT_FOREVER = "import signal; print('up', flush=True); signal.pause()"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT_FOREVER

# Starts a guarded child, says its id and that of its guard, and then does as it is told.
PARENT = """
import os, signal, sys
from pathlib import Path
from streams.broker.process import GuardedProcess
folder = Path(sys.argv[1])
child = GuardedProcess([sys.executable, "-c", sys.argv[2]], folder / "log",
                       remove_if_orphaned=folder / "data")
print(child.pid, child._guard.pid, flush=True)
if sys.argv[3] == "fork" and os.fork() == 0:
    print(os.getpid(), flush=True)
signal.pause()
"""


def python(program: str) -> list[str]:
    """The command that runs a program given as text."""
    return [sys.executable, "-c", program]


def start_parent(folder: Path, program: str, how: str) -> subprocess.Popen[str]:
    """Start a process that starts a guarded child."""
    (folder / "data").mkdir()
    command = [*python(PARENT), str(folder), program, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for_output(log: Path) -> None:
    """Wait until the child has come far enough to say so."""
    eventually(lambda: log.exists() and log.read_text())


def test_stopping_ends_the_child_and_gives_its_code(tmp_path: Path) -> None:
    """A stop waits until the program has ended."""
    child = GuardedProcess(python(WAIT_FOREVER), tmp_path / "log")
    wait_for_output(tmp_path / "log")
    assert child.wait(0) is None
    assert child.stop() == 128 + signal.SIGTERM
    assert not psutil.pid_exists(child.pid)


def test_killing_needs_no_consent(tmp_path: Path) -> None:
    """A program that ignores SIGTERM is killed at once."""
    child = GuardedProcess(python(IGNORE_TERM), tmp_path / "log")
    wait_for_output(tmp_path / "log")
    assert child.kill() == 128 + signal.SIGKILL
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_ends_by_itself_is_reported(tmp_path: Path) -> None:
    """The exit code comes through, and a stop afterwards does no harm."""
    child = GuardedProcess(python("raise SystemExit(7)"), tmp_path / "log")
    assert child.wait(60) == 7
    assert child.stop() == 7


def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    """A missing executable is told at once."""
    with pytest.raises(BrokerError, match="did not start"):
        GuardedProcess([str(tmp_path / "absent")], tmp_path / "log")


def test_the_childs_output_goes_to_the_log(tmp_path: Path) -> None:
    """Both output streams are appended to the log file."""
    (tmp_path / "log").write_text("earlier\n")
    program = "import sys; sys.stderr.write('problem\\n')"
    assert GuardedProcess(python(program), tmp_path / "log").wait(60) == 0
    assert (tmp_path / "log").read_text() == "earlier\nproblem\n"


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_the_child_ends_with_a_killed_parent(tmp_path: Path, how: str) -> None:
    """After kill -9 of the parent nothing runs on, though a fork holds the pipe open."""
    with start_parent(tmp_path, WAIT_FOREVER, how) as parent:
        assert parent.stdout is not None
        child, guard_pid = map(int, parent.stdout.readline().split())
        fork = int(parent.stdout.readline()) if how == "fork" else None
        try:
            wait_for_output(tmp_path / "log")
            os.kill(parent.pid, signal.SIGKILL)
            eventually(lambda: has_ended(child))
            eventually(lambda: has_ended(guard_pid))
            assert not (tmp_path / "data").exists()
        finally:
            if fork is not None:
                os.kill(fork, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the death signal of Linux")
def test_the_child_ends_with_a_killed_guard(tmp_path: Path) -> None:
    """Not even the loss of the guard leaves the child running."""
    child = GuardedProcess(python(WAIT_FOREVER), tmp_path / "log")
    wait_for_output(tmp_path / "log")
    os.kill(child._guard.pid, signal.SIGKILL)
    eventually(lambda: has_ended(child.pid))
    assert child.stop() == -signal.SIGKILL


def test_a_terminated_guard_ends_its_child_first(tmp_path: Path) -> None:
    """SIGTERM to the guard stops the child in order."""
    child = GuardedProcess(python(WAIT_FOREVER), tmp_path / "log")
    wait_for_output(tmp_path / "log")
    os.kill(child._guard.pid, signal.SIGTERM)
    assert child.wait(60) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(child.pid)
    child.stop()


def test_grace_is_not_endless(tmp_path: Path) -> None:
    """A program that does not end in time is killed."""
    log = tmp_path / "log"
    options = ["--parent", str(os.getpid()), "--log", str(log), "--grace", "0.1"]
    command = [sys.executable, "-I", guard.__file__, *options, "--", *python(IGNORE_TERM)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        wait_for_output(log)
        process.stdin.close()
        assert process.wait(60) == 128 + signal.SIGKILL


def test_the_guard_needs_only_the_standard_library() -> None:
    """It runs in an isolated interpreter that finds nothing of ours."""
    check = [sys.executable, "-I", "-S", guard.__file__, "--help"]
    done = subprocess.run(check, capture_output=True, check=True)
    assert b"--parent" in done.stdout
