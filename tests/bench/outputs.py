"""When outputs became visible, and how many there are: asked of the broker, the same for everybody.

While a contestant works, only the ends of the committed logs are asked for, a few times a second.
What they hold is read and counted afterwards, so that counting takes no time from the contestant;
the moment of the last record is when the log first reached beyond it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its __all__

from streams.kafka import codes
from tests.bench.deployment import BenchError, until
from topology.topics import TopicPlace

_ASK_S: Final = 10.0
# A group that nobody has joined, or whose coordinator is being made.
_NOT_YET: Final = (
    KafkaError.GROUP_ID_NOT_FOUND,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
# Longer than a contestant works between two commits: markers count as records here.
_QUIET_S: Final = 6.0
_WATCH_S: Final = 0.03
_READ_AT_ONCE: Final = 10_000
_READ_S: Final = 0.5
_READ_SILENCE_S: Final = 30.0


class Sample(NamedTuple):
    """Where the committed logs ended at a time of `perf_counter`."""

    at: float
    ends: Mapping[TopicPlace, int]


class Ends:
    """The ends of topics' committed logs, over time."""

    def __init__(self, bootstrap_servers: str, topics: Mapping[str, int]) -> None:
        """Watch `topics`, given with their numbers of partitions, from now on."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._places = [
            TopicPartition(topic, partition)
            for topic, partitions in topics.items()
            for partition in range(partitions)
        ]
        self.samples = [self.ask()]

    def ask(self) -> Sample:
        """The ends now."""
        newest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = dict.fromkeys(self._places, newest)
        found = self._admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ASK_S
        )
        ends = {(p.topic, p.partition): future.result().offset for p, future in found.items()}
        return Sample(time.perf_counter(), ends)

    def watch(
        self,
        enough: Callable[[dict[str, int]], bool],
        check: Callable[[], None],
        within_s: float = 600.0,
        quiet_s: float = _QUIET_S,
    ) -> None:
        """Watch until there is enough per topic, markers included, and for a while no more."""

        def settled() -> bool:
            check()
            self.samples.append(self.ask())
            last = self.samples[-1]
            if not enough(self._growth(last)):
                return False
            grown = next((s for s in reversed(self.samples) if s.ends != last.ends), None)
            return grown is None or last.at - grown.at > quiet_s

        until(settled, "all outputs are there", within_s, pause_s=_WATCH_S)

    def reached(self, places: Mapping[TopicPlace, int]) -> float:
        """When the last of these offsets was first below the end of its log."""
        return max(
            next(sample.at for sample in self.samples if sample.ends[place] > offset)
            for place, offset in places.items()
        )

    def _growth(self, sample: Sample) -> dict[str, int]:
        grown: dict[str, int] = {}
        for place, end in sample.ends.items():
            before = self.samples[0].ends[place]
            grown[place[0]] = grown.get(place[0], 0) + end - before
        return grown


def read_committed(bootstrap_servers: str, topic: str) -> Iterator[Record]:
    """Every committed record that a topic holds now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-count",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, _ASK_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        yield from _to_the_end(consumer, len(partitions))
    finally:
        consumer.close()


def _to_the_end(consumer: Consumer, partitions: int) -> Iterator[Record]:
    ended: set[int | None] = set()
    heard = time.monotonic()
    while len(ended) < partitions:
        for message in consumer.consume(_READ_AT_ONCE, _READ_S):
            heard = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == codes.END:
                ended.add(message.partition())
            else:
                raise KafkaException(error)
        if time.monotonic() - heard > _READ_SILENCE_S:
            raise BenchError("the broker sends nothing more, before the end of the topic")


def wait_assigned(
    bootstrap_servers: str,
    group: str,
    partitions: int,
    check: Callable[[], None],
    members: int = 1,
) -> float:
    """Wait until a group's members have so many partitions; the time when the broker said so.

    There are at least so many `members`, and each has some.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def assigned() -> bool:
        check()
        try:
            found = admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group].result()
        except KafkaException as error:
            if error.args[0].code() in _NOT_YET:
                return False
            raise
        shares = [len(member.assignment.topic_partitions) for member in found.members]
        shared = sum(map(bool, shares)) >= members and sum(shares) >= partitions
        return bool(found.state.name == "STABLE" and shared)

    until(assigned, f"{members} members of group {group} have {partitions} partitions")
    return time.perf_counter()


def lag(bootstrap_servers: str, group: str, topics: Iterable[str]) -> int:
    """How many records of topics a group has not committed yet."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    wanted = ConsumerGroupTopicPartitions(group)
    found = admin.list_consumer_group_offsets([wanted], request_timeout=_ASK_S)[group].result()
    done = {(p.topic, p.partition): p.offset for p in found.topic_partitions}
    partitions = {
        topic: len(admin.list_topics(topic, _ASK_S).topics[topic].partitions) for topic in topics
    }
    ends = Ends(bootstrap_servers, partitions).samples[0].ends
    return sum(end - max(done.get(place, 0), 0) for place, end in ends.items())


def value(record: Record) -> bytes:
    """The value of a record that has one."""
    found = record.value()
    assert isinstance(found, bytes)
    return found


def partition(record: Record) -> int:
    """The partition of a record that was read."""
    found = record.partition()
    assert found is not None
    return found


def offset(record: Record) -> int:
    """The offset of a record that was read."""
    found = record.offset()
    assert found is not None
    return found
