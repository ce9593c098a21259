"""A member of a consumer group that outlives its client.

A broker may refuse a client for good: a static member (`group.instance.id`) is fenced when another
process has its name, or when it joins a second time after a stall, since its own first attempt
counts as the other. librdkafka calls that fatal, and the client is of no use any more. Here a new
client takes its place: what the old one had is lost to it, and is read again from the committed
offsets.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import Consumer, KafkaError, TopicPartition

from streams import logs
from streams.kafka import codes
from streams.kafka.consumers import Fetched, fetch, group_member
from streams.metrics import Metrics
from streams.settings import Settings
from topology.topics import TopicPlace

# Two processes of one name fence each other: ever more rarely, so that each gets work done.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_CALM_S: Final = 60.0

Told: TypeAlias = Callable[[list[TopicPartition]], None]
Heard: TypeAlias = Callable[[Consumer, list[TopicPartition]], None]
log = logs.get(__name__)


class Changes(NamedTuple):
    """Called with the partitions that a member gets or has no longer.

    Attributes:
        assigned: They are the member's now.
        revoked: They go to other members when this returns: the last moment to commit.
        lost: Others may have them already, so there is nothing to commit.
    """

    assigned: Told
    revoked: Told
    lost: Told


class Member:
    """One member of a group; used by one thread."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        logger: logging.Logger,
        metrics: Metrics,
        **extra: object,
    ) -> None:
        """Connect; `join` comes next. `metrics` counts; the others are those of `group_member`."""
        self._group = group
        self._metrics = metrics
        self._make: Callable[[], Consumer] = lambda: group_member(settings, group, logger, **extra)
        self._client = self._make()
        self._topics: list[str] = []
        self._changes = Changes(_ignore, _ignore, _ignore)
        self._places: set[TopicPlace] = set()
        self._has_joined = False
        self._joins_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._limiter = logs.Limiter()

    def join(self, topics: Iterable[str], changes: Changes) -> None:
        """Ask the group for a share of these topics' partitions."""
        self._topics, self._changes = list(topics), changes
        self._subscribe()

    def fetch(self, most: int, wait_s: float, gather_s: float = 0.0) -> list[Fetched]:
        """Read as `consumers.fetch` does; errors among the messages are for `look_at`."""
        if self._topics and not self._has_joined and time.monotonic() > self._joins_at:
            self._subscribe()
        return fetch(self._client, most, wait_s, gather_s)

    def look_at(self, error: KafkaError) -> bool:
        """Take an error that was read, and log it: the client recovers from most by itself.

        True: not from this one. All partitions are lost, what was read together with the error is
        to be dropped, and the member joins again.
        """
        if error.fatal() or error.code() == codes.FATAL:
            self._begin_anew(error)
            return True
        if self._limiter.admit(error.code()) is not None:
            log.warning("Kafka reports trouble", group=self._group, error=error.str())
        return False

    def commit(self, offsets: Sequence[TopicPartition], *, wait: bool) -> None:
        """Commit offsets; without `wait` only `on_commit` hears of a failure.

        Raises:
            KafkaException: they were not committed.
        """
        if wait:
            self._client.commit(offsets=list(offsets), asynchronous=False)
        else:
            self._client.commit(offsets=list(offsets), asynchronous=True)

    def assign(self, places: Sequence[TopicPartition]) -> None:
        """Read exactly these partitions, each from its offset."""
        self._client.assign(list(places))

    def pause(self, places: Sequence[TopicPartition]) -> None:
        """Fetch no more of these partitions."""
        self._client.pause(list(places))

    def resume(self, places: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        self._client.resume(list(places))

    def begin(self, places: Sequence[TopicPartition]) -> None:
        """Read these partitions too, which were just assigned, each from its offset."""
        self._client.incremental_assign(list(places))

    def committed(self, places: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """What the group has committed of these partitions, with its metadata.

        Raises:
            KafkaException: the brokers don't answer in time, or refuse.
        """
        return self._client.committed(list(places), timeout=timeout_s)

    def leave(self) -> None:
        """Leave the group until the next `join`, so that other members get the partitions."""
        self._topics = []
        self._client.unsubscribe()

    def close(self) -> None:
        """Leave the group for good, so that other members get the partitions at once."""
        self._client.close()

    def _subscribe(self) -> None:
        self._has_joined = True
        client, changes, places = self._client, self._changes, self._places

        def assigned(partitions: list[TopicPartition]) -> None:
            self._metrics.rebalances.inc()
            changes.assigned(partitions)

        def heard(note: Callable[[set[TopicPlace]], None], tell: Told) -> Heard:
            def call(_client: Consumer, partitions: list[TopicPartition]) -> None:
                # What a client that was refused still says while it closes is not for the new one.
                if client is self._client:
                    note({(place.topic, place.partition) for place in partitions})
                    tell(partitions)

            return call

        client.subscribe(
            self._topics,
            on_assign=heard(places.update, assigned),
            on_revoke=heard(places.difference_update, changes.revoked),
            on_lost=heard(places.difference_update, changes.lost),
        )

    def _begin_anew(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self._joins_at > _CALM_S:
            self._pause_s = _FIRST_PAUSE_S
        log.warning(
            "A consumer was refused for good: a new one joins. If this goes on, another process "
            "has the same COUNTERMAND_GROUP_INSTANCE_ID: give each its own",
            group=self._group,
            error=error.str(),
            pause_s=self._pause_s,
        )
        self._has_joined = False
        self._joins_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        refused, self._client = self._client, self._make()
        lost = [TopicPartition(*place) for place in self._places]
        self._places.clear()
        self._changes.lost(lost)
        refused.close()
        self._metrics.rejoins.inc()


def _ignore(_places: list[TopicPartition]) -> None:
    """Hear of no change: who didn't join has no partitions."""
