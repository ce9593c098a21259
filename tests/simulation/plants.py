"""Bugs planted on purpose: the simulation must find each, or it finds none of their kind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from unittest import mock

from streams.joiner.decide import derive, requests
from streams.joiner.decide.sources import Sources
from streams.joiner.decide.view import View
from tests.simulation.joiners import CrashingTransactions
from tests.simulation.routers import Router
from tests.support.logs import LogTransactions
from tests.support.partition import StepwisePartition
from topology import codec, tables
from topology.records import Pause
from topology.tables import AppliedRow


class _WritesFirst(StepwisePartition):
    def _commit(self, transactions: Any, store: Any, view: View, applied: AppliedRow) -> AppliedRow:
        """Step 6 before step 5, and then the rest."""
        row = {tables.APPLIED_KEY: codec.APPLIED_ROWS.encode(applied)}
        end = self._setting.cluster.log("state", self._partition.number).end + len(view.changed) + 1
        checkpoint = self._parts.changelog.checkpoint(end)
        store.write(store.batch(view.changed | row, view.derived, checkpoint))
        return super()._commit(transactions, store, view, applied)


@contextmanager
def writes_before_commit() -> Iterator[None]:
    """The disk is written before the transaction is committed."""
    with mock.patch("tests.simulation.world.StepwisePartition", _WritesFirst):
        yield


@contextmanager
def commits_outputs_apart() -> Iterator[None]:
    """Outputs go out in a transaction of their own, before the state."""

    def commit(
        self: CrashingTransactions, facts: Any, outputs: Any = (), forwards: Any = None
    ) -> int:
        barrier: dict[bytes, bytes | None] = {tables.BARRIER_KEY: b""}
        LogTransactions.commit(self, barrier, outputs, forwards)
        return original(self, facts)

    original = CrashingTransactions.commit
    with mock.patch.object(CrashingTransactions, "commit", commit):
        yield


@contextmanager
def forgets_repeats() -> Iterator[None]:
    """An entry that was applied already is decided again."""

    def applied(self: Sources, topic_id: bytes, partition: int) -> Any:
        found = original(self, topic_id, partition)
        found.offset = -1
        return found

    original = Sources._applied
    with mock.patch.object(Sources, "_applied", applied):
        yield


@contextmanager
def holds_nothing() -> Iterator[None]:
    """A cancel that comes before its run's registration is forgotten."""
    with mock.patch.object(View, "passed", return_value=True):
        yield


@contextmanager
def restores_no_derived_rows() -> Iterator[None]:
    """Listeners and timers of restored runs are missing."""
    with mock.patch.object(derive, "restored", return_value={}):
        yield


@contextmanager
def loses_unsent_batches() -> Iterator[None]:
    """A router commits offsets of what it has not sent."""

    def commit(self: Router) -> None:
        self._shared.committed.update(self._positions)

    with mock.patch.object(Router, "commit", commit):
        yield


@contextmanager
def fences_nobody() -> Iterator[None]:
    """One that lost its partition can still commit."""

    def begin_life(self: LogTransactions) -> None:
        self._epoch = self._cluster.epochs[self._partition]

    with mock.patch.object(LogTransactions, "begin_life", begin_life):
        yield


@contextmanager
def claims_too_much() -> Iterator[None]:
    """A router takes what it has read for all that there is."""

    def report(self: Router) -> None:
        for progress in self._progress.values():
            progress.answered(self._shared.clock.now + 60_000, 0)
        original(self)

    original = Router.report
    with mock.patch.object(Router, "report", report):
        yield


@contextmanager
def forgets_late_registrations() -> Iterator[None]:
    """A cancellation meets only the runs that are there."""
    with mock.patch("streams.joiner.decide.commands.cancellations.meet_late"):
        yield


@contextmanager
def meets_runs_twice() -> Iterator[None]:
    """A run that registers while a cancellation scans is decided on by both ways."""
    with mock.patch("streams.joiner.decide.requests.is_left_to_scan", return_value=False):
        yield


@contextmanager
def repeats_requests() -> Iterator[None]:
    """A repeated request is a new one."""
    with mock.patch("streams.joiner.decide.requests.is_new", return_value=True):
        yield


@contextmanager
def resumes_at_once() -> Iterator[None]:
    """A pause is over when its end is processed, whatever was received before."""

    def covers(view: View, slug: str, received: int) -> bool:
        pauses = requests.of_function(view, Pause, slug)
        return any(not row.resumed_at and row.received < received for row, _ in pauses)

    with mock.patch("streams.joiner.decide.commands.pauses.covers", covers):
        yield


@contextmanager
def forgets_postponed_cancels() -> Iterator[None]:
    """What a cancel event couldn't meet in its own transaction is lost."""
    with mock.patch("streams.joiner.decide.commands.cancel_events._postpone"):
        yield


@contextmanager
def forgets_cancels() -> Iterator[None]:
    """A repeat of a cancel event, for a rule with `dedupe`, is taken for a first occurrence."""
    with mock.patch("streams.joiner.decide.firsts._noted", return_value=()):
        yield


PLANTS: Final[tuple[Callable[[], AbstractContextManager[None]], ...]] = (
    writes_before_commit,
    commits_outputs_apart,
    forgets_repeats,
    holds_nothing,
    restores_no_derived_rows,
    loses_unsent_batches,
    fences_nobody,
    claims_too_much,
    forgets_late_registrations,
    meets_runs_twice,
    repeats_requests,
    resumes_at_once,
    forgets_postponed_cancels,
    forgets_cancels,
)
