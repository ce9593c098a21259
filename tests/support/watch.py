"""How far everything is, read from Kafka alone."""

from collections.abc import Collection, Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.kafka import clients, codes
from streams.settings import Settings
from tests.support.deadline import eventually
from topology import codec, tables, topics
from topology.tables import AppliedRow
from topology.topics import TopicPlace

_TIMEOUT_S: Final = 90
# Of the changelog's end; every transaction's last record says how far its partition is.
_TAILS: Final = (10, 1_000, 1 << 62)


class Watch:
    """Reads as committed; used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = {spec.name: settings.topic(spec) for spec in topics.TOPICS}
        self.partitions = range(settings.partitions)
        config = clients.librdkafka(
            settings,
            isolation_level="read_committed",
            auto_offset_reset="error",
            enable_partition_eof=True,
            enable_auto_commit=False,
            fetch_wait_max_ms=10,
            log_level=0,
        )
        self._reader = Consumer(config | {"group.id": "watch"})
        self._routers = Consumer(config | {"group.id": settings.router_group})
        uncommitted = {"group.id": "watch", "isolation.level": "read_uncommitted"}
        self._eager = Consumer(config | uncommitted)

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
        self._routers.close()
        self._eager.close()

    def ends(self, places: Collection[TopicPlace]) -> dict[TopicPlace, int]:
        """Where partitions end, as far as committed."""
        return {place: self._bounds(place)[1] for place in places}

    def inputs(self) -> set[TopicPlace]:
        """Every partition that routers read."""
        return {(name, one) for name in self._settings.routed_topics for one in self.partitions}

    def commands(self, partitions: Collection[int]) -> set[TopicPlace]:
        """These partitions of `commands`."""
        return {(self._names["commands"], one) for one in partitions}

    def routed(self, places: Collection[TopicPlace]) -> dict[TopicPlace, int]:
        """Up to where routers have committed."""
        asked = [TopicPartition(*place) for place in places]
        answers = self._routers.committed(asked, timeout=_TIMEOUT_S)
        return {(one.topic, one.partition): max(0, one.offset) for one in answers}

    def applied(self, partition: int) -> AppliedRow:
        """How far a joiner has committed."""
        place = self._names["state"], partition
        low, end = self._bounds(place)
        for tail in _TAILS:
            found = None
            for message in self.read(place, max(low, end - tail)):
                if message.key() == tables.APPLIED_KEY:
                    found = message.value()
            if found is not None:
                return codec.APPLIED_ROWS.decode(found)
        return AppliedRow()

    def open_routing(self, before: dict[TopicPlace, int]) -> int:
        """How many input records before these ends routers have not committed."""
        routed = self.routed(before)
        return sum(max(0, end - routed[place]) for place, end in before.items())

    def open_commands(self, before: dict[TopicPlace, int]) -> int:
        """How many batches before these ends joiners have not applied."""
        return sum(
            max(0, end - 1 - self.applied(partition).commands)
            for (_, partition), end in before.items()
        )

    def watermark(self) -> int:
        """Up to which received time every partition has applied everything."""
        return min(self.applied(partition).watermark for partition in self.partitions)

    def forwards_done(self) -> bool:
        """Whether no forwarded command waits, and none came while we looked."""
        places = [(self._names["forwards"], one) for one in self.partitions]
        before = self.ends(places)
        for place in places:
            position = self.applied(place[1]).forwards + 1
            if position < before[place] and any(True for _ in self.read(place, position)):
                return False
        return self.ends(places) == before

    def open_transactions(self, *names: str) -> set[TopicPlace]:
        """The partitions of topics (without prefix) that have something not yet decided."""
        places = [(self._names[name], one) for name in names for one in self.partitions]
        return {place for place in places if self._high(place) > self._bounds(place)[1]}

    def read(self, place: TopicPlace, offset: int = 0) -> Iterator[Any]:
        """All records of a partition from an offset to its end."""
        self._reader.assign([TopicPartition(*place, offset)])
        try:
            while True:
                first = self._reader.poll(_TIMEOUT_S)
                assert first is not None, f"{place} is not served"
                for message in (first, *self._reader.consume(2_000, 0)):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == codes.END:
                        return
        finally:
            self._reader.unassign()

    def read_topic(self, name: str) -> Iterator[Any]:
        """All records of a topic."""
        for partition in self.partitions:
            yield from self.read((self._settings.topic_prefix + name, partition))

    def _high(self, place: TopicPlace) -> int:
        return _bounds(self._eager, place)[1]

    def _bounds(self, place: TopicPlace) -> tuple[int, int]:
        return _bounds(self._reader, place)


def _bounds(consumer: Consumer, place: TopicPlace) -> tuple[int, int]:
    """Where a partition begins and ends, as soon as it has a leader."""

    def look() -> tuple[int, int] | None:
        try:
            return consumer.get_watermark_offsets(TopicPartition(*place), timeout=_TIMEOUT_S)
        except KafkaException:
            return None

    return eventually(look, _TIMEOUT_S) or (0, 0)
