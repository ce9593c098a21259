"""Runs that wait to be claimed, in the order of their dispatch: pure."""

from collections import OrderedDict
from dataclasses import dataclass

from streams.sdk.app import Function
from topology.records import RunRecord


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A run that is to be claimed; `function` is None where this worker doesn't have it.

    Another worker of the app may: the record stays open until one with the function reads it.
    """

    record: RunRecord
    function: Function | None
    partition: int
    offset: int


class Dispatches:
    """What was read and not claimed yet; at most one per run, the latest."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Dispatch] = OrderedDict()
        self._unknown: dict[str, Dispatch] = {}

    def add(self, dispatch: Dispatch) -> Dispatch | None:
        """A run was dispatched; the dispatch that this one supersedes."""
        before = self.take_out(dispatch.record.run_id)
        to = self._unknown if dispatch.function is None else self._waiting
        to[dispatch.record.run_id] = dispatch
        return before

    def take_out(self, run_id: str) -> Dispatch | None:
        """A run went on, or ended: its dispatch, if it waited here."""
        return self._waiting.pop(run_id, None) or self._unknown.pop(run_id, None)

    def take(self) -> Dispatch | None:
        """The next one to claim."""
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def forget(self, partitions: set[int]) -> None:
        """These partitions went to another worker, with what waits of them."""
        for waiting in (self._waiting, self._unknown):
            for run_id in [one for one, it in waiting.items() if it.partition in partitions]:
                del waiting[run_id]

    def __len__(self) -> int:
        return len(self._waiting)
