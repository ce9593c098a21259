"""Somebody who calls the API through its Service all the time."""

import threading
from typing import Final, NamedTuple

import httpx

_EVERY_S: Final = 0.2
_PATIENCE_S: Final = 5


class Calls(NamedTuple):
    """How many calls there were, and how many of them had no good answer in time."""

    all: int
    failed: int


class Caller:
    """Asks whether the API is ready, each time on a connection of its own, in a thread."""

    def __init__(self, url: str) -> None:
        """Begin."""
        self._url = f"{url}/healthz/ready"
        self._failures: list[bool] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caller")
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def calls(self) -> Calls:
        """Those since this was last asked."""
        failures, self._failures = self._failures, []
        return Calls(len(failures), sum(failures))

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._failures.append(not self._is_answered())

    def _is_answered(self) -> bool:
        try:
            return httpx.get(self._url, timeout=_PATIENCE_S).is_success
        except httpx.HTTPError:
            return False
