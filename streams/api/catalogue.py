"""Every function's versions, kept up to date by a thread that reads the topic of functions."""

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from streams import logs
from streams.api.problems import ProblemError, unavailable
from streams.collector import spare_what_lives
from streams.errors import CountermandError
from streams.functions.reader import RegistryReader
from streams.functions.registry import Registry, Version
from streams.kafka import clients
from streams.settings import Settings
from topology import topics

# Pauses between two reads, and after an error.
_LOOK_S: Final = 0.05
_AGAIN_S: Final = 2.0

log = logs.get(__name__)

Versions = Mapping[str, tuple[Version, ...]]


class Catalogue:
    """All versions of all functions by slug; `start` begins to read, `close` ends it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._versions: Versions = {}
        self._fresh: Callable[[], bool] = lambda: False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="functions", daemon=True)

    def start(self) -> None:
        """Begin to read; Kafka may come later."""
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def show(self, registry: Registry, fresh: Callable[[], bool]) -> None:
        """Show what a registry holds now; `fresh` says whether that is the whole topic."""
        self._versions = {slug: registry.versions(slug) for slug in registry.slugs()}
        self._fresh = fresh

    @property
    def fresh(self) -> bool:
        """Whether every function in the topic is known here."""
        return self._fresh()

    def check(self) -> str | None:
        """What is wrong with the view, for `/healthz/ready`."""
        return None if self.fresh else "the topic of functions can't be read to its end"

    def all(self) -> Versions:
        """Every function's versions, the newest last; deleted functions too."""
        return self._versions

    def versions(self, slug: str) -> tuple[Version, ...]:
        """The versions of one function, the newest last; a deleted one has some for a while.

        Raises:
            ProblemError: 404; 503 while the topic can't be read to its end.
        """
        found = self._versions.get(slug)
        if found:
            return found
        self.require_fresh()
        raise not_found(slug)

    def require_fresh(self) -> None:
        """Go on only while Kafka answers.

        Raises:
            ProblemError: 503.
        """
        if not self.fresh:
            raise unavailable(
                "kafka_unavailable", "Kafka doesn't answer, so it isn't known which functions exist"
            )

    def newest(self, slug: str) -> Version:
        """The newest version of a function; of a deleted one it marks the deletion.

        Raises:
            ProblemError: as `versions`.
        """
        return self.versions(slug)[-1]

    def live(self, slug: str) -> Version:
        """The newest version of a function that isn't deleted.

        Raises:
            ProblemError: as `versions`.
        """
        newest = self.newest(slug)
        if newest.deleted:
            raise not_found(slug, "was deleted (its unfinished runs can be cancelled)")
        return newest

    def require_named(self, slug: str, app: str, id_: str) -> None:
        """Go on only if this slug is that of this app and id; the function may be deleted.

        App `a` and id `b-c` make the slug of app `a-b` and id `c`, and name another function.

        Raises:
            ProblemError: as `versions`.
        """
        owner, its_id = self.newest(slug).identity
        if (owner, its_id) != (app, id_):
            self.require_fresh()
            raise not_found(slug, f"is function {its_id} of app {owner}")

    def _read(self) -> None:
        config = clients.librdkafka(self._settings, log_level=0)
        topic = self._settings.topic(topics.FUNCTIONS)
        while not self._stop.is_set():
            try:
                with RegistryReader(config, topic) as reader:
                    self._follow(reader)
            except CountermandError as error:
                log.warning("Functions can't be read", error=str(error))
            except Exception:  # the thread must not end while its process runs
                log.exception("Reading functions failed, it begins again")
            self._fresh = lambda: False
            self._stop.wait(_AGAIN_S)

    def _follow(self, reader: RegistryReader) -> None:
        """Keep up with the topic; functions are shown once its end is read, so none vanishes."""
        shown = -1
        while not self._stop.is_set():
            reader.poll()
            position = reader.registry.position
            if reader.fresh and position != shown:
                self.show(reader.registry, lambda: reader.fresh)
                if shown < 0:
                    spare_what_lives()
                shown = position
            self._stop.wait(_LOOK_S)


def not_found(slug: str, why: str | None = None) -> ProblemError:
    """The problem of a function that isn't there; `why`: what its slug stands for instead."""
    detail = f"there is no {slug} (app_id and function_id, joined by '-')"
    if why is not None:
        detail = f"{slug} {why}"
    return ProblemError(HTTPStatus.NOT_FOUND, "function_not_found", f"function not found: {detail}")
