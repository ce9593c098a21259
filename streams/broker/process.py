"""The parent's side of `guard`: a guarded child process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams import private
from streams.broker import guard
from streams.errors import BrokerError


class GuardedProcess:
    """A program that ends when asked to, and when this process ends, however that happens."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        remove_if_orphaned: Path | None = None,
    ) -> None:
        self._guard = _start_guard(command, log, environment, remove_if_orphaned)
        self.pid = self._read_pid()

    def wait(self, timeout_s: float | None) -> int | None:
        """The exit code, or None if the program still runs after `timeout_s`."""
        try:
            code = self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._close()
        return code

    def stop(self) -> int:
        """Ask the program to end, wait until it has, and return its exit code."""
        return self._order(b"stop\n")

    def kill(self) -> int:
        """End the program at once, as a crash would, and return its exit code."""
        return self._order(b"kill\n")

    def _order(self, order: bytes) -> int:
        pipe = self._guard.stdin
        assert pipe is not None
        # A guard that has ended already doesn't read the order.
        with contextlib.suppress(BrokenPipeError, ValueError):
            pipe.write(order)
        code = self._guard.wait()
        self._close()
        return code

    def _close(self) -> None:
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def _read_pid(self) -> int:
        assert self._guard.stdout is not None
        with self._guard.stdout as output:
            line = output.readline()
        if not line:
            self._order(b"stop\n")
            raise BrokerError("The local broker's guard did not start: see the messages above")
        return int(line)


def _start_guard(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None,
    remove_if_orphaned: Path | None,
) -> subprocess.Popen[bytes]:
    private.make_file(log)
    launcher = [sys.executable, "-I", guard.__file__]
    options = ["--parent", str(os.getpid()), "--log", str(log)]
    if remove_if_orphaned is not None:
        options += ["--remove", str(remove_if_orphaned)]
    return subprocess.Popen(  # noqa: S603  # this package's own program
        [*launcher, *options, "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment,
        # Ctrl-C in a terminal goes to this process alone, which then stops the child in order.
        start_new_session=True,
    )
