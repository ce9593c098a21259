"""A worker's member of a consumer group, on a real broker."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)

from streams.kafka import clients
from streams.kafka.admin import describe_topics
from streams.kafka.producers import Sender
from streams.metrics import Metrics
from streams.sdk.worker.reader import GroupReader, Left
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually

pytestmark = pytest.mark.broker
TIMEOUT_S = 90


class Taken:
    """A handler that keeps what it gets."""

    def __init__(
        self, assigned: Callable[[], None] = lambda: None, unknown: bytes | None = None
    ) -> None:
        """`assigned` is called when partitions come; it doesn't know records of this value."""
        self.values: list[bytes] = []
        self._unknown = unknown
        self.owned: set[int] = set()
        self._assigned = assigned

    def select(self, message: Any) -> object | None:
        """Every record, but for those that it doesn't know."""
        value: bytes = message.value()
        return Left(value.decode()) if value == self._unknown else value

    def knows(self, name: str) -> bool:
        """All but one."""
        return name.encode() != self._unknown

    def learn(self) -> None:
        """From now on it knows all."""
        self._unknown = None

    def deliver(self, found: list[tuple[int, int, object]]) -> None:
        """Keep them."""
        self.values += [value for _, _, value in found if isinstance(value, bytes)]

    def assigned(self, partitions: set[int]) -> None:
        """These are ours."""
        self.owned |= partitions
        self._assigned()

    def revoked(self, partitions: set[int]) -> None:
        """These are no longer ours."""
        self.owned -= partitions


@contextmanager
def reading(reader: GroupReader, taken: Taken) -> Iterator[None]:
    """A reader in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop, taken), name="reader")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Settings with a topic `things` of this test alone."""
    found = load(kafka_bootstrap_servers=kafka, topic_prefix=unique_name("reader") + ".")
    admin = AdminClient(clients.librdkafka(found))
    topic = NewTopic(f"{found.topic_prefix}things", 2, 1)
    admin.create_topics([topic])[topic.topic].result(TIMEOUT_S)
    # Brokers show a topic a little after they have made it.
    eventually(lambda: describe_topics(admin, [topic.topic]), TIMEOUT_S)
    return found


def test_partitions_that_come_leave_none_of_the_others_paused(settings: Settings) -> None:
    """There is room again just when another member's partitions come: all of them are read."""
    topic, group = f"{settings.topic_prefix}things", unique_name("readers")
    reader, other = (GroupReader(settings, Metrics(), group, topic) for _ in range(2))
    all_of_them = threading.Event()

    def make_room() -> None:
        if all_of_them.is_set():
            reader.is_full = False

    mine, others = Taken(make_room), Taken()
    with reading(reader, mine), ExitStack() as exits:
        exits.enter_context(reading(other, others))
        eventually(lambda: len(mine.owned) == len(others.owned) == 1, TIMEOUT_S)
        reader.is_full = True
        eventually(lambda: reader._paused, TIMEOUT_S)
        all_of_them.set()
        exits.close()
        with Sender(settings) as sender:
            for number in range(50):
                sender.send(topic, b"%d" % number, key=b"%d" % number)
        eventually(lambda: len(mine.values) == 50, TIMEOUT_S)
    assert sorted(map(int, mine.values)) == list(range(50))


def committed(settings: Settings, group: str) -> list[int]:
    """The offsets of a group, by partition."""
    topic = f"{settings.topic_prefix}things"
    config = clients.librdkafka(settings, group_id=group, log_level=0)
    consumer = Consumer(config)
    try:
        places = [TopicPartition(topic, number) for number in range(2)]
        return [place.offset for place in consumer.committed(places, timeout=TIMEOUT_S)]
    finally:
        consumer.close()


def test_what_only_others_know_holds_no_offset_and_is_lost_to_none(settings: Settings) -> None:
    """A member that knows it begins there, when it gets the partition; others read on."""
    topic, group = f"{settings.topic_prefix}things", unique_name("readers")
    with Sender(settings) as sender:
        for value in (b"one", b"new", b"two", b"new", b"three"):
            sender.send(topic, value, key=b"key")
    old = Taken(unknown=b"new")
    reader = GroupReader(settings, Metrics(), group, topic)
    with reading(reader, old):
        eventually(lambda: len(old.values) == 3, TIMEOUT_S)
        [partition] = {at for at, number in enumerate(map(len, ends(settings))) if number}
        for offset in (0, 2, 4):
            reader.done(partition, offset)
        eventually(lambda: committed(settings, group)[partition] == 5, TIMEOUT_S)
    again = Taken(unknown=b"new")
    with reading(GroupReader(settings, Metrics(), group, topic), again):
        eventually(lambda: len(again.owned) == 2, TIMEOUT_S)
    new = Taken(unknown=b"newer")
    with reading(GroupReader(settings, Metrics(), group, topic), new):
        eventually(lambda: len(new.values) == 4, TIMEOUT_S)
    assert (old.values, again.values) == ([b"one", b"two", b"three"], [])
    assert new.values == [b"new", b"two", b"new", b"three"]


def test_a_member_that_learns_more_reads_what_it_had_left(settings: Settings) -> None:
    """It joins again, and begins there; what it has done already isn't lost to it."""
    topic, group = f"{settings.topic_prefix}things", unique_name("readers")
    taken, reader = Taken(unknown=b"new"), GroupReader(settings, Metrics(), group, topic)
    with reading(reader, taken), Sender(settings) as sender:
        for value in (b"one", b"new", b"two"):
            sender.send(topic, value, key=b"key")
        sender.flush()
        eventually(lambda: taken.values == [b"one", b"two"], TIMEOUT_S)
        taken.learn()
        reader.rejoin()
        eventually(lambda: b"new" in taken.values, TIMEOUT_S)
        sender.send(topic, b"last", key=b"key")
        sender.flush()
        eventually(lambda: b"last" in taken.values, TIMEOUT_S)
    assert taken.values.count(b"new") == 1


def test_a_member_that_learns_more_while_it_is_away_reads_that_when_it_is_back(
    settings: Settings,
) -> None:
    """Until then it stays away; others that have its partitions meanwhile lose nothing of it."""
    topic, group = f"{settings.topic_prefix}things", unique_name("readers")
    taken, other = Taken(unknown=b"new"), Taken(unknown=b"new")
    readers = [GroupReader(settings, Metrics(), group, topic) for _ in range(2)]
    with reading(readers[0], taken), Sender(settings) as sender:
        for value in (b"one", b"new", b"two"):
            sender.send(topic, value, key=b"key")
        sender.flush()
        eventually(lambda: taken.values == [b"one", b"two"], TIMEOUT_S)
        readers[0].is_away = True
        eventually(lambda: not readers[0].has_joined and not taken.owned, TIMEOUT_S)
        taken.learn()
        readers[0].rejoin()
        with reading(readers[1], other):
            eventually(lambda: other.values == [b"one", b"two"], TIMEOUT_S)
        assert (taken.owned, taken.values) == (set(), [b"one", b"two"])
        readers[0].is_away = False
        eventually(lambda: b"new" in taken.values, TIMEOUT_S)


def ends(settings: Settings) -> list[range]:
    """The offsets of each partition's records."""
    topic = f"{settings.topic_prefix}things"
    consumer = Consumer(clients.librdkafka(settings, group_id="ends", log_level=0))
    try:
        return [
            range(*consumer.get_watermark_offsets(TopicPartition(topic, number), TIMEOUT_S))
            for number in range(2)
        ]
    finally:
        consumer.close()


def test_a_member_that_is_away_leaves_its_partitions_to_others(settings: Settings) -> None:
    """And gets some again when it comes back."""
    topic, group = f"{settings.topic_prefix}things", unique_name("readers")
    first, second = (GroupReader(settings, Metrics(), group, topic) for _ in range(2))
    mine, others = Taken(), Taken()
    with reading(first, mine):
        eventually(lambda: len(mine.owned) == 2, TIMEOUT_S)
        first.is_away = True
        eventually(lambda: not mine.owned, TIMEOUT_S)
        assert not first.has_joined
        with reading(second, others):
            eventually(lambda: len(others.owned) == 2, TIMEOUT_S)
            first.is_away = False
            eventually(lambda: len(mine.owned) == len(others.owned) == 1, TIMEOUT_S)
