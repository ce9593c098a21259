"""The metrics, health and log lines of one partition."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from streams import logs
from streams.clock import Clock, now_ms
from streams.joiner.decide.view import View
from streams.joiner.store import Store
from streams.metrics import Metrics
from topology import limits
from topology.statuses import Cause, Status
from topology.tables import AppliedRow

log = logs.get(__name__)
_errors = logs.Limiter()
_MEASURE_S: Final = 5.0
# A partition that has stopped, and works for so long, goes on.
_LASTS_MS: Final = limits.MINUTE_MS


class Figures:
    """Counts what happens to a partition, and knows whether it is ready (or else its `problem`).

    A processor calls it from its thread.
    """

    def __init__(self, metrics: Metrics, partition: int, clock: Clock = now_ms) -> None:
        self._metrics = metrics
        self._partition = partition
        self._clock = clock
        self._gauges = metrics.partition(partition)
        self._started = monotonic()
        self._measured_at = 0.0
        self._unready_since = clock()
        self._ready_at = 0
        self._has_stopped = False
        self.is_ready = False
        self.problem: str | None = None
        self.applied = AppliedRow()
        # Asked for with the page: a partition that commits nothing must not look young.
        self._gauges.watermark_age.set_function(self._watermark_age_s)
        self._gauges.unready.set_function(self._unready_s)

    def restoring(self, remaining: int) -> None:
        """`remaining` records of the changelog are still to be restored."""
        self._gauges.restore_remaining.set(remaining)

    def starting(self) -> None:
        """The partition begins a life, at step 1 of the durable order."""
        self._started = monotonic()
        self.is_ready = False

    def ready(self, applied: AppliedRow) -> None:
        """The partition is restored and takes commands."""
        seconds = monotonic() - self._started
        self._gauges.restore_seconds.set(seconds)
        self._gauges.restore_remaining.set(0)
        self._gauges.pending_runs.set(applied.pending)
        self.applied = applied
        self._ready_at = self._clock()
        self.is_ready = True
        self.problem = None
        log.info(
            "Partition is ready",
            partition=self._partition,
            applied=applied.commands,
            pending=applied.pending,
            seconds=round(seconds, 2),
        )

    def closed(self) -> None:
        """The partition's store and producer are closed."""
        if self._is_at_work():
            self._unready_since, self._has_stopped = self._clock(), False
        self.is_ready = False

    def gone(self) -> None:
        """Another process owns the partition now: remove its metrics."""
        self._gauges.close()

    def stopped(self, problem: str) -> None:
        """The partition can't work for now, because of `problem`."""
        self.problem = problem
        self._has_stopped = True

    def fenced(self) -> None:
        """A newer producer of the partition, or a timeout, fenced its producer."""
        self._metrics.transactions.labels("fenced").inc()

    def aborted(self) -> None:
        """A transaction was aborted."""
        self._metrics.transactions.labels("aborted").inc()

    def paused(self) -> None:
        """Reading paused, since the inbox had no room."""
        self._metrics.pauses.inc()

    def queued(self, size: int) -> None:
        """`size` bytes wait in the inbox."""
        self._gauges.queue_size.set(size)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Time the block as one transaction."""
        with self._metrics.timed_transaction():
            yield

    def committed(self, view: View, applied: AppliedRow, store: Store) -> None:
        """A transaction is committed and written: count what its `view` has counted.

        Raises:
            KeyError: the view has counted a name that no metric shows.
        """
        if monotonic() - self._measured_at > _MEASURE_S:
            self._measured_at = monotonic()
            self._gauges.state_size.set(store.bytes_on_disk())
        self.applied = applied
        metrics = self._metrics
        metrics.transactions.labels("committed").inc()
        self._gauges.pending_runs.set(applied.pending)
        for delay_ms in view.cancel_delays_ms:
            metrics.cancel_latency.observe(delay_ms / 1000)
        for kind, number in view.applied.items():
            metrics.commands.labels("applied", kind.__name__.lower()).inc(number)
        for name, number in view.counts.items():
            self._count(name, number)
        for slug, rule, error in view.evaluation_errors:
            if _errors.admit((slug, rule)) is not None:
                log.warning(
                    "A rule has no answer: it doesn't match", function=slug, rule=rule, error=error
                )

    def _is_at_work(self) -> bool:
        """Whether it is ready, and won't stop at the same record again as soon as it meets it."""
        lasts = self._clock() - self._ready_at >= _LASTS_MS
        return self.is_ready and (lasts or not self._has_stopped)

    def _unready_s(self) -> float:
        return 0.0 if self._is_at_work() else max(0, self._clock() - self._unready_since) / 1000

    def _watermark_age_s(self) -> float:
        watermark = self.applied.watermark
        return max(0, self._clock() - watermark) / 1000 if watermark else 0.0

    def _count(self, name: tuple[str, ...], number: int) -> None:
        metrics = self._metrics
        match name:
            case ("cancels", cause):
                metrics.cancels_by_cause[Cause(cause)].inc(number)
            case ("runs", status):
                metrics.runs_by_status[Status(status)].inc(number)
            case ("ignored_updates", reason):
                metrics.updates_ignored.labels(reason).inc(number)
            case ("dead_letters", reason):
                for _ in range(number):
                    metrics.dead_letter("joiner", reason)
            case (simple,) if simple in metrics.decisions:
                metrics.decisions[simple].inc(number)
            case _:
                raise KeyError(f"decisions count {name}, and no metric shows it")
