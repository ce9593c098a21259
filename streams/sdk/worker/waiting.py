"""Cancellations that wait until their runs have stopped: pure."""

from typing import NamedTuple

from streams.sdk.cancelled_run import CancelledRun


class Cancellation(NamedTuple):
    """A record of `cancelled`: its run, its value, and its timestamp (ms since 1970)."""

    run: CancelledRun
    value: bytes
    received_ms: int


class Waiting:
    """The cancellations of runs whose steps may still execute.

    Attributes:
        bytes: The size of their records.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._waiting: dict[str, Cancellation] = {}

    def add(self, cancellation: Cancellation) -> None:
        """Let a cancellation wait; none of the same run waits."""
        self._waiting[cancellation.run.run_id] = cancellation
        self.bytes += len(cancellation.value)

    def take(self, run_id: str) -> Cancellation | None:
        """Remove and return the cancellation of a run, if it waits."""
        found = self._waiting.pop(run_id, None)
        if found is not None:
            self.bytes -= len(found.value)
        return found

    def times(self) -> dict[str, int]:
        """When the runs were cancelled (ms since 1970), by run id."""
        return {run_id: one.received_ms for run_id, one in self._waiting.items()}

    def functions(self, before_ms: int) -> dict[str, str]:
        """The functions of the runs that were cancelled before a time, by run id."""
        return {
            run_id: one.run.function_id
            for run_id, one in self._waiting.items()
            if one.received_ms < before_ms
        }

    def __len__(self) -> int:
        return len(self._waiting)
