"""Asks the brokers, without waiting, where the sources end and whether they are still the same."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final, TypeAlias

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
    TopicDescription,
)

from streams.clock import Clock, now_ms
from streams.errors import TopicRemadeError
from streams.kafka.admin import uuid_bytes
from topology.topics import TopicPlace

Answer: TypeAlias = tuple[TopicPlace, int, int]
_TIMEOUT_S: Final = 5.0
_IDENTITY_EVERY_S: Final = 10.0


class EndProbe:
    """The high watermarks of sources, from their leaders.

    The high watermark, not the last stable offset: what is in an open transaction was received
    already, so a source with one is not complete.
    """

    def __init__(self, admin: AdminClient, clock: Clock = now_ms) -> None:
        self._admin = admin
        self._clock = clock
        self._asked = 0
        self._open: dict[TopicPlace, Future[ListOffsetsResultInfo]] = {}

    def ask(self, places: Iterable[TopicPlace]) -> None:
        """Ask for the ends of these, unless a question is open still."""
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        if self._open or not wanted:
            return
        self._asked = self._clock()
        futures = self._admin.list_offsets(
            wanted,
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_TIMEOUT_S,
        )
        self._open = {(place.topic, place.partition): one for place, one in futures.items()}

    def answers(self) -> list[Answer]:
        """Answers that came since: source, when it was asked (ms), its high watermark."""
        done = [(place, one) for place, one in self._open.items() if one.done()]
        for place, _ in done:
            del self._open[place]
        # One that failed is asked again; the source just isn't known to be complete. An end below 0
        # is what a broken connection leaves, without any error.
        return [
            (place, self._asked, one.result().offset)
            for place, one in done
            if one.exception() is None and one.result().offset >= 0
        ]


class IdentityProbe:
    """Whether topics are still those that we began with: a new one counts its offsets anew."""

    def __init__(self, admin: AdminClient, topic_ids: Mapping[str, bytes]) -> None:
        self._admin = admin
        self._ids = topic_ids
        self._asked_at = time.monotonic()
        self._open: dict[str, Future[TopicDescription]] = {}

    def check(self) -> None:
        """Look at what was answered, and ask again every ten seconds.

        Raises:
            TopicRemadeError: A topic was deleted and made anew.
        """
        for name in [name for name, one in self._open.items() if one.done()]:
            answer = self._open.pop(name)
            if (
                answer.exception() is None
                and uuid_bytes(answer.result().topic_id) != self._ids[name]
            ):
                raise TopicRemadeError(
                    f"{name} was deleted and made anew. Restart, so that it is read from its "
                    "beginning"
                )
        if not self._open and time.monotonic() - self._asked_at > _IDENTITY_EVERY_S:
            self._asked_at = time.monotonic()
            self._open = self._admin.describe_topics(
                TopicCollection(list(self._ids)), request_timeout=_TIMEOUT_S
            )
