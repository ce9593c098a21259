"""What each client reads and writes, as a broker sees it: its request log, read while it grows."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

from streams.broker import LocalBroker
from streams.kafka.admin import admin_client, describe_topics
from streams.settings import Settings
from topology import topics

LOGGED: Final = ("-Dorg.slf4j.simpleLogger.log.kafka.request.logger=debug",)
"""The JVM's options for a broker that writes such a log."""


class Arrow(NamedTuple):
    """A client's use of a topic: `verb` is reads or writes; topics are named without a prefix."""

    client: str
    verb: str
    topic: str


class RequestLog:
    """The arrows in the log of a broker that was started with the options `LOGGED`."""

    def __init__(self, broker: LocalBroker, settings: Settings) -> None:
        """Read from the log's beginning; the topics of `settings` exist."""
        names = {settings.topic(spec): spec.name for spec in topics.TOPICS}
        states = describe_topics(admin_client(settings), names)
        # Newer requests have a topic's id in place of its name.
        self._names = names | {_text(state.id): names[name] for name, state in states.items()}
        self._file = broker.log_path.open(encoding="utf-8", errors="replace")
        self._rest = ""
        self._arrows: set[Arrow] = set()
        self._transactional: set[Arrow] = set()
        self._plain: set[Arrow] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def arrows(self) -> set[Arrow]:
        """Every arrow so far."""
        self._read()
        return self._arrows

    def only_in_transactions(self) -> set[Arrow]:
        """The arrows of writes that were never done without a transaction."""
        self._read()
        return self._transactional - self._plain

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            _, _, logged = line.partition("Completed request:")
            if '"FETCH"' in logged or '"PRODUCE"' in logged:
                self._note(json.loads(logged))

    def _note(self, logged: dict[str, Any]) -> None:
        header, request = logged["requestHeader"], logged["request"]
        fetches = header["requestApiKeyName"] == "FETCH"
        for name in self._named(request["topics" if fetches else "topicData"]):
            arrow = Arrow(header["clientId"], "reads" if fetches else "writes", name)
            self._arrows.add(arrow)
            if not fetches:
                in_transaction = request["transactionalId"] is not None
                (self._transactional if in_transaction else self._plain).add(arrow)

    def _named(self, used: list[dict[str, Any]]) -> Iterator[str]:
        """Those topics that are Countermand's."""
        for topic in used:
            for field in ("topicId", "topic", "name"):
                if topic.get(field) in self._names:
                    yield self._names[topic[field]]


def _text(topic_id: bytes) -> str:
    """A topic's id as brokers log it."""
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
