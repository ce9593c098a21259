"""Run a program that must not outlive the process that asked for it.

Started by file path with an isolated interpreter, so it imports only the standard
library. Its standard input is a pipe to the parent, which the kernel closes however the
parent ends, `kill -9` included. It says one line, the child's process id, and then waits:

    line "kill"            child gets SIGKILL
    line "stop"            child gets SIGTERM, and SIGKILL if it takes too long
    end of input           the parent is gone: as "stop", then `--remove` is removed
    another parent id      the same; a forked child of the parent may hold the pipe open

Its exit code is the child's, or 128 and the signal's number if one ended it.
"""

import argparse
import contextlib
import ctypes
import os
import selectors
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.25
# As a shell reports them.
_NOT_FOUND = 127
_BY_SIGNAL = 128


def main(arguments: list[str] | None = None) -> int:
    """Run the command, watch parent and child, and return the child's exit code."""
    parser = argparse.ArgumentParser(prog="guard")
    parser.add_argument("--parent", type=int, required=True, help="process id to outlive never")
    parser.add_argument("--log", type=Path, required=True, help="file for the child's output")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("--remove", type=Path, help="folder to remove if the parent is gone")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _raise_exit)
    os.umask(0o077)  # what the child writes is for this user alone
    try:
        child = _start(options.command, options.log)
    except OSError as error:
        sys.stderr.write(f"cannot run {options.command[0]}: {error}\n")
        return _NOT_FOUND
    try:
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        orphaned = _watch(child, options.parent, options.grace)
    finally:
        # Also on an unforeseen error: the child never stays behind.
        _end(child, options.grace)
    if orphaned and options.remove is not None:
        shutil.rmtree(options.remove, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else _BY_SIGNAL - child.returncode


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        # preexec_fn is safe here: this process has a single thread, which also makes the
        # death signal mean this process and not one thread of it.
        return subprocess.Popen(  # noqa: S603  # the parent's own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_guard if sys.platform == "linux" else None,  # noqa: PLW1509  # see above
        )


def _die_with_guard() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(child: subprocess.Popen[bytes], parent: int, grace_s: float) -> bool:
    """Serve the parent until the child has ended; say whether the parent was lost."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        while child.poll() is None:
            if selector.select(_POLL_S):
                orders = os.read(0, 64)
                if not orders:
                    _end(child, grace_s)
                    return True
                _obey(child, orders, grace_s)
            elif os.getppid() != parent:
                _end(child, grace_s)
                return True
    return False


def _obey(child: subprocess.Popen[bytes], orders: bytes, grace_s: float) -> None:
    if b"kill" in orders:
        child.kill()
        child.wait()
    elif b"stop" in orders:
        _end(child, grace_s)


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _raise_exit(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(_BY_SIGNAL + signum)


if __name__ == "__main__":
    sys.exit(main())
