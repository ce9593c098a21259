"""A read model's figures: its metrics, its health checks and log lines about them."""

import time
from collections.abc import Collection
from typing import Final

from streams import logs
from streams.health import Health, Kind, StallCheck
from streams.metrics import Metrics
from streams.read_model.batch import Steps
from streams.settings import Settings
from topology.topics import TopicPlace

# The brokers are asked for ends every second.
_SILENT_S: Final = 15.0
_NOT_STARTED: Final = "nothing is read yet"
log = logs.get(__name__)


class Figures:
    """Counts what is written, and answers whether the process is live and ready."""

    def __init__(self, settings: Settings, metrics: Metrics, health: Health) -> None:
        """Add the checks to `health`."""
        self.metrics = metrics
        self._stalls = StallCheck(settings.stall_timeout.total_seconds())
        self._limiter = logs.Limiter()
        self._places: set[TopicPlace] = set()
        self._waits_for: str | None = _NOT_STARTED
        self._waits_since = time.monotonic()
        self._heard_at = time.monotonic()
        health.add(Kind.LIVE, "progress", self._stalls)
        health.add(Kind.READY, "reading", self._reading)

    def waiting(self, reason: str) -> None:
        """Note why nothing can be read or written for now; a restart wouldn't help."""
        if self._waits_for is None:
            self._waits_since = time.monotonic()
        self._waits_for = reason
        self._stalls.pause()
        suppressed = self._limiter.admit(reason)
        if suppressed is not None:
            log.warning("The read model has to wait", reason=reason, suppressed=suppressed)

    def moved(self) -> None:
        """Note that a round is done."""
        if self._waits_for is not None:
            self._waits_for = None
            self._stalls.resume()

    def wrote(self, steps: Steps, seconds: float, refused: int) -> None:
        """Count a written batch, and the rows of it that the database refused."""
        self.metrics.read_model_batches.labels("written").inc()
        self.metrics.read_model_write.observe(seconds)
        for step, rows in steps:
            self.metrics.read_model_rows.labels(step.value).inc(len(rows))
        self.metrics.read_model_refused.labels("database").inc(refused)

    def dropped(self) -> None:
        """Count a batch that was dropped, since another process writes the same records."""
        self.metrics.read_model_batches.labels("dropped").inc()
        log.warning("Somebody else writes what is read here: the positions are read again")

    def refused(self, topic: str, error: Exception) -> None:
        """Count a record that can't be read, and log it once a minute and topic."""
        self.metrics.read_model_refused.labels("decode").inc()
        suppressed = self._limiter.admit(topic)
        if suppressed is not None:
            log.warning(
                "A record can't be read", topic=topic, error=str(error), suppressed=suppressed
            )

    def lag(self, place: TopicPlace, position: int, high: int) -> None:
        """Note how many records of a partition are not yet in the database: `high` is its end."""
        lag = max(0, high - position)
        self._heard_at = time.monotonic()
        self._places.add(place)
        self.metrics.source(*place, position=position, lag=lag)
        self._stalls.seen(place, position, lag)

    def owned(self, places: Collection[TopicPlace]) -> None:
        """Watch these partitions from now on; other processes have the rest."""
        for place in self._places.difference(places):
            self.metrics.forget_source(*place)
            self._stalls.forget(place)
        self._places = set(places)

    def _reading(self) -> str | None:
        now = time.monotonic()
        if self._waits_for is not None:
            return f"{self._waits_for} ({now - self._waits_since:.0f} s)"
        silent = now - self._heard_at
        return f"Kafka doesn't answer ({silent:.0f} s)" if silent > _SILENT_S else None
