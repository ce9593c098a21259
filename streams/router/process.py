"""The router's loop: the one place that says in which order things are read, written and committed.

1. read records
2. wait until all functions are known that were valid when the records were received
3. route the records, in memory
4. write their command batches and dead letters, in order
5. note the new offset of each source
6. twice a second: write to every partition how far each source is complete, with the same producer,
   so that this claim lies behind the entries that it speaks of
7. flush: wait until the brokers have acknowledged every record
8. commit the offsets of step 5

After a crash in steps 1 to 7 the next router repeats the records since the last step 8. It writes
the same entries in the same order, and joiners skip them. A record that a broker refuses ends the
process before step 8. Steps 7 and 8 also come before a source goes to another router.
"""

import logging
import threading
import time
from typing import Final

from streams import crash, logs
from streams.clock import now_ms
from streams.collector import rare_collections
from streams.functions.reader import RegistryReader
from streams.health import Health
from streams.kafka import clients
from streams.kafka.admin import admin_client
from streams.kafka.certificates import show_certificates
from streams.kafka.findings import LOG_APPEND_TIME
from streams.kafka.probe import EndProbe, IdentityProbe
from streams.kafka.topics import TopicsReport, await_topics
from streams.metrics import Metrics
from streams.router import batches
from streams.router.figures import Figures
from streams.router.pipeline import Output, Pipeline, ways_of
from streams.router.record import Rejection
from streams.router.sender import Sender
from streams.router.sources import Intake, Sources
from streams.settings import Settings
from streams.signals import stopped_by_signals
from streams.web import WebServer
from topology import limits, topics

# Records per round: enough to fill batches, few enough that a round takes some 20 ms.
_ROUND: Final = 2_000
_IDLE_S: Final = 0.05
# By how much the clocks of brokers may differ: see `_known`.
_CLOCK_SLACK_MS: Final = 1_000
# After so long without news of the functions Kafka must be away.
_STALE_S: Final = 5.0
_UNKNOWN: Final = "the functions are not known up to now"
_GRACE_S: Final = 10.0
_UNREADABLE: Final = Rejection("bad_header", "the name of a header is no UTF-8")

log = logs.get(__name__)


def run_router(settings: Settings, stop: threading.Event | None = None) -> None:
    """Route until SIGTERM or SIGINT, or until `stop` is set; serves metrics and health meanwhile.

    Raises:
        CountermandError: the router can't go on. Nothing is lost: the next router repeats what was
            not committed.
    """
    stop = threading.Event() if stop is None else stop
    metrics, health = Metrics(process="router"), Health()
    show_certificates(settings, metrics)
    figures = Figures(settings, metrics, health)  # adds the health checks that the server shows
    with (
        stopped_by_signals(stop),
        rare_collections(),
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
    ):
        log.info("Router starts", group=settings.router_group, url=web.url)
        Router(settings, await_topics(settings, stop), figures, stop).run()


class Router:
    """A router; `run` returns when it was stopped and everything it read is committed."""

    def __init__(
        self,
        settings: Settings,
        report: TopicsReport,
        figures: Figures,
        stop: threading.Event,
    ) -> None:
        """Connect to Kafka; `report` has the topics, their count, and how large events may be."""
        logger = logging.getLogger(f"{__name__}.kafka")
        self._partitions = report.partitions
        self._topic_ids = {name: report.topics[name].id for name in settings.routed_topics}
        ways = ways_of(settings, report.partitions, self._topic_ids, report.event_bytes)
        self._unordered = frozenset(
            name
            for name in settings.routed_topics
            if report.topics[name].config["message.timestamp.type"] != LOG_APPEND_TIME
        )
        self._pipeline = Pipeline(ways, self._topic_ids, timed_by_producers=self._unordered)
        self._stop = stop
        self._figures = figures
        self._functions = RegistryReader(
            clients.librdkafka(settings), settings.topic(topics.FUNCTIONS)
        )
        admin = admin_client(settings)
        self._ends = EndProbe(admin)
        self._identities = IdentityProbe(admin, self._topic_ids)
        self._sender = Sender(settings, logger, self._while_waiting)
        self._sources = Sources(settings, logger, figures.metrics, self._before_loss)
        self._written = False
        self._failed = False
        self._marked_at = time.monotonic()

    def run(self) -> None:
        """Route until stopped.

        Raises:
            CountermandError: the router can't go on.
        """
        try:
            self._functions.load()
            while not self._stop.is_set():
                self._round()
            self._settle(wait=True)
        except _UnansweredError:
            self._failed = True
            log.warning("Stopped before the brokers had everything: it will be repeated")
        except BaseException:
            self._failed = True
            raise
        finally:
            self._sources.close()
            self._sender.close()
            self._functions.close()

    def _round(self) -> None:
        intake = self._sources.read(_ROUND, _IDLE_S)  # 1
        self._functions.poll()
        if intake.records or intake.unreadable:
            if not self._await_functions(intake.received):  # 2
                return
            self._write(self._route(intake))  # 3, 4
        self._note(intake)  # 5
        self._sender.serve()
        if time.monotonic() - self._functions.fresh_at < _STALE_S:
            self._figures.moved()
        else:
            self._figures.waiting(_UNKNOWN)
        if time.monotonic() - self._marked_at >= limits.MARKER_INTERVAL_MS / 1_000:
            self._mark()  # 6
            self._settle(wait=False)  # 7, 8

    def _await_functions(self, received: int) -> bool:
        """Wait until the functions are known as of `received`; False if told to stop meanwhile."""
        while not self._known(received):
            self._functions.poll(_IDLE_S)
            self._sender.serve()
            self._figures.waiting(_UNKNOWN)
            if self._stop.is_set():
                return False
        return True

    def _known(self, received: int) -> bool:
        """Whether every version of functions is known that routes records received then.

        A version is appended at least 2 s before it is valid (`VALID_FROM_DELAY_MS`), so the topic
        must have been read as of 2 s before `received`, or later if brokers' clocks differ. A time
        in the future, from a producer's clock, counts as now: waiting would hold up all records.
        """
        now = now_ms()
        fresh = now - (time.monotonic() - self._functions.fresh_at) * 1_000
        needed = min(received, now) - limits.VALID_FROM_DELAY_MS + _CLOCK_SLACK_MS
        return fresh >= needed

    def _route(self, intake: Intake) -> Output:
        self._pipeline.feed(intake.records, self._functions.registry, now_ms())
        for record in intake.unreadable:
            self._pipeline.refuse(record, _UNREADABLE)
        return self._pipeline.take()

    def _write(self, output: Output) -> None:
        self._sender.send_batches(output.batches)
        self._sender.send_dead_letters(output.dead_letters)
        self._written = True
        crash.crash_at("router_after_produce")
        self._figures.count(output)

    def _note(self, intake: Intake) -> None:
        owned, now = self._sources.owned, now_ms()
        if self._unordered:
            self._count_late(intake)
        if 0 < len(intake.records) < _ROUND:
            self._figures.skew(intake.received, now)
        for place, record in intake.last.items():
            # A source that went to another router meanwhile: its records may be routed twice, but
            # only its owner claims how far it is complete.
            if place in owned:
                owned[place].read(record.offset, record.received, now)
        for place, end in intake.ends.items():
            if place in owned:
                owned[place].reached(end)

    def _count_late(self, intake: Intake) -> None:
        for record in intake.records:
            if record.topic in self._unordered:
                progress = self._sources.owned.get((record.topic, record.partition))
                if progress is not None and record.received < progress.time:
                    self._figures.late(record.topic)

    def _mark(self) -> None:
        """Write to every partition how far the sources are complete; ask where the sources end."""
        self._marked_at = time.monotonic()
        owned = self._sources.owned
        self._figures.owned(owned.keys())
        for place, asked, high in self._ends.answers():
            if place in owned:
                owned[place].answered(asked, high)
                self._figures.lag(place, owned[place].next_offset, high)
        self._ends.ask(owned)
        self._identities.check()
        claims = [(place, progress.claim()) for place, progress in owned.items()]
        progress = [
            batches.Progress(*place, claim.offset, claim.time)
            for place, claim in claims
            if claim is not None
        ]
        if progress:
            marker = batches.progress_batch(progress, self._topic_ids)
            self._sender.send_batches((number, marker) for number in range(self._partitions))

    def _settle(self, *, wait: bool) -> None:
        """Flush, and only then commit."""
        self._sender.flush()
        if self._written:
            crash.crash_at("router_after_flush")
            self._written = False
        if wait:
            self._sources.commit_and_wait()
        else:
            self._sources.commit()

    def _before_loss(self) -> None:
        if not self._failed:
            self._settle(wait=True)

    def _while_waiting(self) -> None:
        self._functions.poll()
        self._figures.waiting("Kafka doesn't take what is written")
        if self._stop.is_set() and self._figures.waited_s > _GRACE_S:
            raise _UnansweredError


class _UnansweredError(Exception):
    """The router is to stop while the brokers don't answer."""
