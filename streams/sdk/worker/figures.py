"""What a worker counts, on the metrics of its process."""

from streams.metrics import Metrics


class Figures:
    """Counts what happens to a worker's runs."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._runs = metrics.worker_runs
        self._most_runs = metrics.worker_most_runs
        self._overrunning = metrics.worker_overrunning
        self._cancelling = metrics.worker_cancelling
        self._ended = metrics.worker_ended
        self._steps = metrics.worker_steps
        self._overran = metrics.worker_overruns
        self._ignored = metrics.worker_ignored

    def ended(self, outcome: str) -> None:
        """A run left this worker."""
        self._ended.labels(outcome).inc()

    def took_step(self) -> None:
        """A step's outcome was recorded."""
        self._steps.inc()

    def overran(self) -> None:
        """A cancelled run's step goes on for longer than is usual."""
        self._overran.inc()

    def ignored(self, topic: str) -> None:
        """A record of `topic` isn't what the topic holds."""
        self._ignored.labels(topic).inc()

    def buried(self, kind: str) -> None:
        """A cleanup that failed for good is a dead letter; `kind` is the class of its error."""
        self._metrics.dead_letter("worker", kind)

    def may_hold(self, runs: int) -> None:
        """How many runs there may be at once."""
        self._most_runs.set(runs)

    def holds(self, runs: int, overrunning: int, cancelling_s: float) -> None:
        """How many runs there are now, how many of them overrun, and the longest cancel of them."""
        self._runs.set(runs)
        self._overrunning.set(overrunning)
        self._cancelling.set(cancelling_s)
