"""`countermand read-model run`: copies until told to stop, whatever fails meanwhile."""

import logging
import threading
import time
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from streams import logs
from streams.clock import now_ms
from streams.collector import rare_collections
from streams.database.engine import open_database, place, watch_disk
from streams.errors import KafkaRefusedError, TopicRemadeError, UnreachableError
from streams.health import Health
from streams.kafka.admin import admin_client
from streams.kafka.certificates import show_certificates
from streams.kafka.probe import EndProbe, IdentityProbe
from streams.kafka.topics import await_topics
from streams.metrics import Metrics
from streams.read_model.batch import adders
from streams.read_model.copier import Copier
from streams.read_model.figures import Figures
from streams.read_model.retention import Retention
from streams.read_model.source import Source
from streams.settings import Settings
from streams.signals import stopped_by_signals
from streams.web import WebServer

_IDLE_S: Final = 0.1
_ASK_EVERY_S: Final = 1.0
# Whoever looks at the copy is told how old it is: some seconds are no news.
_REFRESH_AFTER_MS: Final = 5_000
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
log = logs.get(__name__)


def run_read_model(settings: Settings, stop: threading.Event | None = None) -> None:
    """Copy until SIGTERM or SIGINT, or until `stop` is set; serves metrics and health meanwhile.

    Raises:
        CountermandError: the read model can't start.
    """
    stop = threading.Event() if stop is None else stop
    metrics, health = Metrics(process="read-model"), Health()
    show_certificates(settings, metrics)
    figures = Figures(settings, metrics, health)  # adds the health checks that the server shows
    with (
        stopped_by_signals(stop),
        rare_collections(),
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
    ):
        await_topics(settings, stop)
        engine = open_database(settings)
        watch_disk(engine, metrics)
        log.info("Read model starts", database=place(engine.url), url=web.url)
        try:
            ReadModel(settings, engine, figures, stop).run()
        finally:
            engine.dispose()


class ReadModel:
    """A process of the read model; `run` returns when it was stopped."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        figures: Figures,
        stop: threading.Event,
        refresh_after_ms: int = _REFRESH_AFTER_MS,
    ) -> None:
        """Connect; `refresh_after_ms` is how old an idle partition's position may grow."""
        self._refresh_after_ms = refresh_after_ms
        self._stop = stop
        self._figures = figures
        self._admin = admin_client(settings)
        self._source = Source(settings, logging.getLogger(f"{__name__}.kafka"), figures.metrics)
        self._topics = list(adders(settings))
        self._copier = Copier(settings, engine, self._admin, self._source, figures)
        self._retention = Retention(settings, engine)
        self._ends = EndProbe(self._admin)
        self._identities: IdentityProbe | None = None
        self._asked_at = 0.0
        self._pause_s = _FIRST_PAUSE_S

    def run(self) -> None:
        """Copy until stopped.

        Raises:
            CountermandError: the read model can't go on: an operator must look.
        """
        try:
            self._source.join(self._topics)
            while not self._stop.is_set():
                try:
                    self._round()
                except (DBAPIError, UnreachableError, KafkaRefusedError) as error:
                    self._wait(error)
        finally:
            self._source.close()

    def _round(self) -> None:
        if not self._source.is_started:
            if self._source.places is None:
                self._source.read(1, _IDLE_S)  # lets the group assign partitions
                return
            self._copier.start(self._source.places)
            ids = {name: state.id for name, state in self._copier.topics.items()}
            self._identities = IdentityProbe(self._admin, ids)
        self._copier.copy(_IDLE_S)
        self._retention.step(now_ms())
        self._figures.moved()
        self._pause_s = _FIRST_PAUSE_S
        if time.monotonic() - self._asked_at > _ASK_EVERY_S:
            self._look()

    def _look(self) -> None:
        """Compare what was read with the brokers' answers, and ask again."""
        self._asked_at = time.monotonic()
        places = self._source.places or ()
        self._figures.owned(places)
        for at, asked, high in self._ends.answers():
            self._copier.saw_end(at, asked, high)
        self._ends.ask(places)
        self._copier.refresh(self._refresh_after_ms)
        try:
            if self._identities is not None:
                self._identities.check()
        except TopicRemadeError:  # `Copier.start` reads it from its beginning
            self._source.halt()

    def _wait(self, error: Exception) -> None:
        """Begin anew after a pause, longer each time; the partitions are kept meanwhile."""
        reason = error.orig if isinstance(error, DBAPIError) else error
        self._figures.waiting(" ".join(str(reason).split()))
        self._source.halt()
        end = time.monotonic() + self._pause_s
        while time.monotonic() < end and not self._stop.is_set():
            self._source.read(1, _IDLE_S)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
