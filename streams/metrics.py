"""Every metric of every process, declared here and nowhere else.

Metrics have base units and bounded labels: never a match value, a run id or an event name. What is
counted per record is bound to its labels once (`partition`, `source`), since looking labels up
costs more than the increment.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streams.versions import installed_version
from topology.statuses import Cause, Status

NAMESPACE: Final = "countermand"
# From a cancel whose rows are all in memory to a cancel that waits for the end of an outage.
LATENCY_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
)  # fmt: skip
TRANSACTION_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15,
)  # fmt: skip
API_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# A stage's further reasons for dead letters share one series, so that no input grows the registry.
_OTHER: Final = "other"
_REASONS_PER_STAGE: Final = 50
# What is counted rarely, by its label's values: shown from the start, since an alert on the first
# one of a process needs the zero before it.
_RARE: Final = {
    "transactions_total": ("committed", "aborted", "fenced"),
    "read_model_batches_total": ("written", "dropped"),
    "read_model_refused_total": ("decode", "database"),
    "api_connections_ended_total": ("too_many_connections", "gave_way"),
    "worker_runs_ended_total": ("completed", "failed", "cancelled", "lost", "refused"),
}
# What the joiner's decisions count without a label, by the name in `View.count`.
_DECISIONS: Final = {
    "repeated_events": "Trigger events that registered no run: an earlier occurrence had.",
    "repeated_entries": "Entries that a router wrote again and a partition skipped.",
    "repeated_cancels": "Repeats of cancel events under a match key of rules with dedupe.",
    "repeated_requests": "Requests that a partition skipped because it had them already.",
    "fan_outs": "Cancel events with too many listeners under a key for one slice.",
    "meetings": "Runs with so much held for them that they wait until they have met it.",
    "postponed_cancels": "Cancel events with more matches than go into one transaction.",
    "matches_ignored": "Matches of cancel events with runs that had already ended.",
    "leases_ended": "Runs dispatched again because their worker was silent for a lease.",
    "runs_removed": "Ended runs removed at the end of their retention.",
    "undecidable_rows": "Timers and slices of long work that were given up: see the log.",
    "misdated_rows": "Rows that waited for a time years ahead, and were ended.",
    "evaluation_errors": "Expressions without an answer: counted as no match.",
}


class Metrics:
    """The metrics of one process; `registry` is the page that they are shown on."""

    def __init__(self, registry: CollectorRegistry | None = None, *, process: str = "") -> None:
        """Declare all metrics on `registry`, or on a new one that has the process's figures too.

        `process` is the command that runs here, as `build_info` tells it.
        """
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
        self.registry = registry
        self._reasons: dict[str, set[str]] = {}
        self._declare_routing()
        self._declare_runs()
        self._declare_partitions()
        self._declare_read_model()
        self._declare_trouble()
        self._declare_calls()
        self._declare_worker()
        self._declare_surroundings()
        text = "Version of Countermand, and which of its processes this is."
        info = Info("build", text, namespace=NAMESPACE, registry=registry)
        info.info({"version": installed_version(), "process": process})

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)
        for value in _RARE.get(name, ()):
            counter.labels(value)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, text, labels, namespace=NAMESPACE, buckets=buckets, registry=self.registry
        )

    def _declare_routing(self) -> None:
        self.events = self._counter(
            "events_total",
            "Records read by routers; outcome routed, ignored or dead_letter.",
            "topic",
            "outcome",
        )
        self.commands = self._counter(
            "commands_total", "Commands by type; stage routed or applied.", "stage", "type"
        )
        self.late = self._counter(
            "late_events_total",
            "Records of a CreateTime input that are older than the watermark.",
            "topic",
        )

    def _declare_runs(self) -> None:
        self.runs = self._counter(
            "runs_total", "Status changes of runs, by the status now.", "status"
        )
        self.cancels = self._counter("cancels_total", "Cancelled runs, by cause.", "cause")
        self.cancel_latency = self._histogram(
            "cancel_latency_seconds",
            "From a cancel event's received time to the commit of the cancelled event.",
            LATENCY_BUCKETS,
        )
        self.updates_ignored = self._counter(
            "updates_ignored_total", "Run updates without effect, by reason.", "reason"
        )
        # Bound here, so that the page shows every cause and status from the start.
        self.cancels_by_cause = {cause: self.cancels.labels(cause.value) for cause in Cause}
        self.runs_by_status = {status: self.runs.labels(status.value) for status in Status}

    def _declare_partitions(self) -> None:
        self.lag = self._gauge(
            "lag_records", "Records not yet processed of what this process reads.", "topic",
            "partition",
        )  # fmt: skip
        self.position = self._gauge(
            "position_records", "Offset up to which this process has processed what it reads.",
            "topic", "partition",
        )  # fmt: skip
        self.watermark_age = self._gauge(
            "watermark_age_seconds", "Now less the partition's watermark.", "partition"
        )
        self.pending_runs = self._gauge(
            "pending_runs", "Unfinished runs whose home is the partition.", "partition"
        )
        self.unready = self._gauge(
            "unready_seconds",
            "How long the partition has been in restore, or stopped again and again; 0: it works.",
            "partition",
        )
        self.restore_remaining = self._gauge(
            "restore_remaining_records",
            "Changelog records that the partition has still to restore.",
            "partition",
        )
        self.restore_seconds = self._gauge(
            "restore_seconds", "How long the partition's last restore took.", "partition"
        )
        self.state_size = self._gauge(
            "state_bytes", "Size of the partition's RocksDB on disk.", "partition"
        )
        self.queue_size = self._gauge(
            "queue_bytes", "Commands in memory that wait for the partition's processor.",
            "partition",
        )  # fmt: skip
        self.transaction = self._histogram(
            "transaction_seconds", "One Kafka transaction, begin to commit.", TRANSACTION_BUCKETS
        )
        self.transactions = self._counter(
            "transactions_total", "Transactions; outcome committed, aborted or fenced.", "outcome"
        )
        self.pauses = self._counter(
            "pauses_total",
            "Times that reading `commands` paused, since a partition had no room for more.",
        )
        self.rebalances = self._counter("rebalances_total", "Assignments given to this process.")

    def _declare_read_model(self) -> None:
        self.read_model_batches = self._counter(
            "read_model_batches_total",
            "Transactions of the read model; outcome written, or dropped since another wrote.",
            "outcome",
        )
        self.read_model_rows = self._counter(
            "read_model_rows_total",
            "Rows that the read model wrote or removed, by what was done.",
            "step",
        )
        self.read_model_refused = self._counter(
            "read_model_refused_total",
            "Records that the read model left out; stage decode or database.",
            "stage",
        )
        self.read_model_write = self._histogram(
            "read_model_write_seconds", "One transaction of the read model.", TRANSACTION_BUCKETS
        )

    def _declare_trouble(self) -> None:
        self.dead_letters = self._counter(
            "dead_letters_total", "Records put on `dead-letters`.", "stage", "reason"
        )
        self.decisions = {
            name: self._counter(f"{name}_total", text) for name, text in _DECISIONS.items()
        }
        self.evaluation_errors = self.decisions["evaluation_errors"]
        self.rejoins = self._counter(
            "rejoins_total",
            "Consumers made anew since their group had refused the ones before, as fenced.",
        )
        self.clock_skew = self._gauge(
            "clock_skew_seconds",
            "Broker's clock less this process's, as last seen on a record; positive is ahead.",
        )

    def _declare_calls(self) -> None:
        self.api_calls = self._counter(
            "api_calls_total", "Calls of the API.", "method", "route", "status"
        )
        self.api_seconds = self._histogram(
            "api_call_seconds", "Calls of the API, from their first byte in to the last out.",
            API_BUCKETS, "method", "route",
        )  # fmt: skip

        self.api_connections_ended = self._counter(
            "api_connections_ended_total", "Connections that the API ended, by reason.", "reason"
        )

    def _declare_worker(self) -> None:
        self.worker_runs = self._gauge("worker_runs", "Runs that this worker holds.")
        self.worker_most_runs = self._gauge(
            "worker_most_runs", "Runs that this worker may hold: COUNTERMAND_WORKER_CONCURRENCY."
        )
        self.worker_ended = self._counter(
            "worker_runs_ended_total",
            "Runs that left this worker; outcome is their status, lost or refused.",
            "outcome",
        )
        self.worker_steps = self._counter(
            "worker_steps_total", "Steps and sleeps whose outcome was recorded."
        )
        self.worker_overrunning = self._gauge(
            "worker_overrunning_runs",
            "Cancelled runs whose step goes on for longer than COUNTERMAND_WORKER_OVERRUN.",
        )
        self.worker_cancelling = self._gauge(
            "worker_cancelling_seconds",
            "How long the longest cancelled run of this worker hasn't stopped; 0: there is none.",
        )
        self.worker_overruns = self._counter(
            "worker_overruns_total", "Runs that were ever among the overrunning ones."
        )
        self.worker_ignored = self._counter(
            "worker_ignored_records_total",
            "Records that aren't what their topic holds, and were ignored.",
            "topic",
        )

    def _declare_surroundings(self) -> None:
        self.disk_size = self._gauge(
            "disk_size_bytes", "Size of the file system that holds a folder.", "folder"
        )
        self.disk_free = self._gauge(
            "disk_free_bytes", "What this process may still write to that file system.", "folder"
        )
        self.certificate_expiry = self._gauge(
            "kafka_certificate_expiry_timestamp_seconds",
            "Until when a certificate is valid that this process shows Kafka (client) or trusts "
            "(ca), as it was read at the start.",
            "certificate",
        )

    def watch_disk(self, folder: Path) -> None:
        """Show how full the file system of a folder is whenever the page is asked for."""
        self.disk_size.labels(str(folder)).set_function(lambda: _disk(folder)[0])
        self.disk_free.labels(str(folder)).set_function(lambda: _disk(folder)[1])

    def api_call(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a call of the API; `route` is the path with the names of its parameters."""
        self.api_calls.labels(method, route, str(status)).inc()
        self.api_seconds.labels(method, route).observe(seconds)

    def partition(self, partition: int) -> "PartitionMetrics":
        """The metrics of one of the joiner's partitions."""
        return PartitionMetrics(self, str(partition))

    def source(self, topic: str, partition: int, *, position: int, lag: int) -> None:
        """Show how far a partition that this process reads is processed, and what is left."""
        self.position.labels(topic, str(partition)).set(position)
        self.lag.labels(topic, str(partition)).set(lag)

    def forget_source(self, topic: str, partition: int) -> None:
        """Remove a partition that this process no longer reads from the page."""
        for gauge in (self.position, self.lag):
            gauge.remove_by_labels({"topic": topic, "partition": str(partition)})

    def dead_letter(self, stage: str, reason: str) -> None:
        """Count a dead letter; after a stage's first 50 reasons, new ones count as `other`."""
        known = self._reasons.setdefault(stage, set())
        if reason not in known:
            if len(known) >= _REASONS_PER_STAGE:
                reason = _OTHER
            known.add(reason)
        self.dead_letters.labels(stage, reason).inc()

    @contextmanager
    def timed_transaction(self) -> Iterator[None]:
        """Time the block as one transaction; the caller counts its outcome."""
        started = perf_counter()
        try:
            yield
        finally:
            self.transaction.observe(perf_counter() - started)


class PartitionMetrics:
    """The gauges of one partition."""

    def __init__(self, metrics: Metrics, partition: str) -> None:
        self._gauges = (
            metrics.watermark_age,
            metrics.pending_runs,
            metrics.unready,
            metrics.restore_remaining,
            metrics.restore_seconds,
            metrics.state_size,
            metrics.queue_size,
        )
        self._partition = partition
        self.watermark_age = metrics.watermark_age.labels(partition)
        self.pending_runs = metrics.pending_runs.labels(partition)
        self.unready = metrics.unready.labels(partition)
        self.restore_remaining = metrics.restore_remaining.labels(partition)
        self.restore_seconds = metrics.restore_seconds.labels(partition)
        self.state_size = metrics.state_size.labels(partition)
        self.queue_size = metrics.queue_size.labels(partition)

    def close(self) -> None:
        """Remove the partition's series from the page, since another process owns it now."""
        for gauge in self._gauges:
            gauge.remove_by_labels({"partition": self._partition})


def _disk(folder: Path) -> tuple[float, float]:
    """Size and free bytes of a folder's file system; not numbers while there is no such folder."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return math.nan, math.nan
    return usage.total, usage.free


def metrics_page(metrics: Metrics) -> tuple[bytes, str]:
    """The body and content type of `/metrics`."""
    return generate_latest(metrics.registry), CONTENT_TYPE_LATEST
