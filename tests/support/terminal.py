"""A command on a terminal: what it shows, what somebody types, and Ctrl-C."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

CHECKOUT = Path(__file__).parents[2]
_PATIENCE_S = 90
_CHUNK = 65_536
_AGAIN_S = 5
# Colours, cursor moves and line feeds of a terminal.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """`countermand` with these arguments and settings, and nothing of the developer's."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        """Start it."""
        self._shown = ""
        self._mark = 0
        self._screen, slave = pty.openpty()
        self._process = subprocess.Popen(
            # A test run in the background ignores Ctrl-C, and so would what it starts.
            ["env", "--default-signal=INT", sys.executable, "-m", "streams.cli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=CHECKOUT,
            env=_environment(settings),
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE_S)
        os.close(self._screen)

    def expect(self, text: str) -> str:
        """Wait until it shows a text, after what was expected before; all between the two."""
        end = time.monotonic() + _PATIENCE_S
        while (at := self._shown.find(text, self._mark)) < 0:
            assert self._read(end), f"ended without {text!r}:\n{self._shown}"
        between = self._shown[self._mark : at + len(text)]
        self._mark = at + len(text)
        return between

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._screen, f"{text}\n".encode())

    def press_ctrl_c(self) -> None:
        """What a terminal does on Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def leave_prompt(self) -> int:
        """Press Ctrl-C where it waits for an answer; its exit code.

        CPython loses one that comes in the moment before it waits, so people press again.
        """
        end = time.monotonic() + _PATIENCE_S
        self.press_ctrl_c()
        while time.monotonic() < end:
            if not self._is_readable(_AGAIN_S):
                self.press_ctrl_c()
            elif not self._read(end):
                break
        return self._process.wait(_PATIENCE_S)

    def wait(self) -> int:
        """Wait until it ends; its exit code."""
        end = time.monotonic() + _PATIENCE_S
        while self._read(end):
            pass
        return self._process.wait(_PATIENCE_S)

    def _is_readable(self, within_s: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], within_s)
        return bool(ready)

    def _read(self, end: float) -> bool:
        """Read more of what it shows; whether there was more."""
        ready = self._is_readable(max(0, end - time.monotonic()))
        assert ready, f"nothing new within {_PATIENCE_S} s:\n{self._shown}"
        try:
            text = os.read(self._screen, _CHUNK).decode(errors="replace")
        except OSError:  # nobody writes any more
            return False
        self._shown += _CONTROL.sub("", text)
        return bool(text)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: one for name, one in os.environ.items() if not name.startswith("COUNTERMAND_")}
    given = {f"COUNTERMAND_{name.upper()}": value for name, value in settings.items()}
    return kept | given | {"TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"}
