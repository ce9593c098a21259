"""A worker's member of a consumer group, on a real broker."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)

from streams.kafka import clients
from streams.kafka.producers import Sender
from streams.metrics import Metrics
from streams.sdk.worker.reader import GroupReader
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually

pytestmark = pytest.mark.broker
TIMEOUT_S = 90


class Taken:
    """A handler that keeps what it gets."""

    def __init__(self, assigned: Callable[[], None] = lambda: None) -> None:
        """`assigned` is called when partitions come."""
        self.values: list[bytes] = []
        self.owned: set[int] = set()
        self._assigned = assigned

    def select(self, message: Any) -> object | None:
        """Every record."""
        value: bytes = message.value()
        return value

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
