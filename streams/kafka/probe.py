"""Asks the brokers, without waiting, where partitions end and whether topics are the same."""

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

# A partition, when its end was asked for (ms), and its high watermark.
Answer: TypeAlias = tuple[TopicPlace, int, int]
_TIMEOUT_S: Final = 5.0
_IDENTITY_EVERY_S: Final = 10.0


class EndProbe:
    """Asks the leaders of partitions for their high watermarks.

    Not for the last stable offsets: the records of an open transaction were received already, so
    a router that can't read them yet may not call the partition complete.
    """

    def __init__(self, admin: AdminClient, clock: Clock = now_ms) -> None:
        self._admin = admin
        self._clock = clock
        self._asked = 0
        self._open: dict[TopicPlace, Future[ListOffsetsResultInfo]] = {}

    def ask(self, places: Iterable[TopicPlace]) -> None:
        """Ask for the ends of these partitions, unless earlier questions are still open."""
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        if self._open or not wanted:
            return
        self._asked = self._clock()
        futures = self._admin.list_offsets(
            wanted,
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_TIMEOUT_S,
        )
        self._open = {(place.topic, place.partition): future for place, future in futures.items()}

    def answers(self) -> list[Answer]:
        """The answers that came since the last call."""
        done = [(place, future) for place, future in self._open.items() if future.done()]
        for place, _ in done:
            del self._open[place]
        # A question that failed is asked again. A broken connection leaves an end below 0, without
        # any error.
        return [
            (place, self._asked, future.result().offset)
            for place, future in done
            if future.exception() is None and future.result().offset >= 0
        ]


class IdentityProbe:
    """Notices that a topic was deleted and made anew: its offsets begin at 0 again."""

    def __init__(self, admin: AdminClient, topic_ids: Mapping[str, bytes]) -> None:
        self._admin = admin
        self._ids = topic_ids
        self._asked_at = time.monotonic()
        self._open: dict[str, Future[TopicDescription]] = {}

    def check(self) -> None:
        """Look at the answers, and ask again every ten seconds.

        Raises:
            TopicRemadeError: a topic was deleted and made anew.
        """
        for name in [name for name, future in self._open.items() if future.done()]:
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
