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
        # By worker: the workers of one process share these figures.
        self._most: dict[str, int] = {}
        self._held: dict[str, tuple[int, int, float]] = {}

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

    def may_hold(self, worker: str, runs: int) -> None:
        """How many runs a worker may have at once."""
        self._most[worker] = runs
        self._most_runs.set(sum(self._most.values()))

    def holds(self, worker: str, runs: int, overrunning: int, cancelling_s: float) -> None:
        """How many runs a worker has, how many of them overrun, and the longest cancel of them."""
        self._held[worker] = runs, overrunning, cancelling_s
        every = self._held.values()
        self._runs.set(sum(held for held, _, _ in every))
        self._overrunning.set(sum(over for _, over, _ in every))
        self._cancelling.set(max(longest for _, _, longest in every))
