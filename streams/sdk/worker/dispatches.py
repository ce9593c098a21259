"""Runs that wait to be claimed, in the order of their dispatch: pure."""

from collections import OrderedDict
from dataclasses import dataclass

from streams.sdk.app import Function
from topology.records import RunRecord


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A run that is to be claimed, and the place of the record that says so."""

    record: RunRecord
    function: Function
    partition: int
    offset: int


class Dispatches:
    """The dispatches that were read and not claimed yet; of each run only the latest."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Dispatch] = OrderedDict()

    def add(self, dispatch: Dispatch) -> Dispatch | None:
        """Add a dispatch; returns the run's earlier dispatch, which is removed."""
        before = self.take_out(dispatch.record.run_id)
        self._waiting[dispatch.record.run_id] = dispatch
        return before

    def take_out(self, run_id: str) -> Dispatch | None:
        """Remove and return a run's dispatch, if there is any."""
        return self._waiting.pop(run_id, None)

    def take(self) -> Dispatch | None:
        """Remove and return the next dispatch to claim."""
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def forget(self, partitions: set[int]) -> None:
        """Remove the dispatches of partitions that another worker reads now."""
        for run_id in [key for key, item in self._waiting.items() if item.partition in partitions]:
            del self._waiting[run_id]

    def __len__(self) -> int:
        return len(self._waiting)
