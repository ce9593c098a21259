"""A router's figures: its metrics, its health checks and log lines about them."""

import time
from collections.abc import Collection
from typing import Final

from streams import logs
from streams.health import Health, Kind, StallCheck
from streams.metrics import Metrics
from streams.router.pipeline import STAGE, Output
from streams.settings import Settings
from topology.topics import TopicPlace

_STUCK_S: Final = 5.0
log = logs.get(__name__)


class Figures:
    """Counts a router's output by batch, and answers whether it is live and ready."""

    def __init__(self, settings: Settings, metrics: Metrics, health: Health) -> None:
        """Add the router's checks to `health`."""
        self.metrics = metrics
        self._stalls = StallCheck(settings.stall_timeout.total_seconds())
        self._limiter = logs.Limiter()
        self._places: set[TopicPlace] = set()
        self._moved_at = time.monotonic()
        self._waits_for: str | None = "the router has not started yet"
        health.add(Kind.LIVE, "progress", self._stalls)
        health.add(Kind.READY, "routing", self._routing)

    @property
    def waited_s(self) -> float:
        """For how long the router has been waiting, in seconds."""
        return time.monotonic() - self._moved_at

    def moved(self) -> None:
        """Note that a round is done."""
        if self._waits_for is not None and self.waited_s > _STUCK_S:
            log.info("Routing goes on", waited_s=round(self.waited_s))
        self._moved_at, self._waits_for = time.monotonic(), None

    def waiting(self, reason: str) -> None:
        """Note why no round can be done for now."""
        self._waits_for = reason
        if self.waited_s > _STUCK_S and self._limiter.admit(reason) is not None:
            log.warning("Routing has to wait", reason=reason, waited_s=round(self.waited_s))

    def count(self, output: Output) -> None:
        """Count a round's output; log triggers without an answer, once a minute and function."""
        metrics, counts = self.metrics, output.counts
        outcomes = {
            "routed": counts.routed,
            "ignored": counts.ignored,
            "dead_letter": counts.dead,
        }
        for outcome, by_topic in outcomes.items():
            for topic, number in by_topic.items():
                metrics.events.labels(topic, outcome).inc(number)
        for kind, number in output.commands.items():
            metrics.commands.labels("routed", kind.__name__.lower()).inc(number)
        for reason in counts.rejections.elements():
            metrics.dead_letter(STAGE, reason)
        for slug, error in output.errors:
            metrics.evaluation_errors.inc()
            suppressed = self._limiter.admit(slug)
            if suppressed is not None:
                log.warning(
                    "A trigger has no answer", function=slug, error=error, suppressed=suppressed
                )

    def late(self, topic: str) -> None:
        """Count a record of a time that had already been called complete."""
        self.metrics.late.labels(topic).inc()

    def skew(self, received: int, now: int) -> None:
        """Note how far the time of a record that was read at once is from now (both ms)."""
        self.metrics.clock_skew.set((received - now) / 1_000)

    def lag(self, place: TopicPlace, position: int | None, high: int) -> None:
        """Note how many records of a source are not yet routed: `high` is its end."""
        position = position or 0
        lag = max(0, high - position)
        self._places.add(place)
        self.metrics.source(*place, position=position, lag=lag)
        self._stalls.seen(place, position, lag)

    def owned(self, places: Collection[TopicPlace]) -> None:
        """Watch these sources from now on; other routers have the rest."""
        for place in self._places.difference(places):
            self.metrics.forget_source(*place)
            self._stalls.forget(place)
        self._places = set(places)

    def _routing(self) -> str | None:
        if self._waits_for is None:
            return None
        return f"{self._waits_for} ({self.waited_s:.0f} s)"
