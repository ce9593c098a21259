"""A member of a consumer group on a real broker: refused for good, it joins again."""

import logging
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)
from prometheus_client import CollectorRegistry

from streams.kafka import clients
from streams.kafka.member import Changes, Member
from streams.metrics import Metrics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually

pytestmark = pytest.mark.broker
BOTH = {0, 1}


class Static:
    """A member with the name that all of this test have, and its partitions."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        self.owned: set[int] = set()
        self.lost: set[int] = set()
        self.metrics = Metrics(CollectorRegistry())
        logger = logging.getLogger(__name__)
        self.member = Member(settings, group, logger, self.metrics, group_instance_id="same")
        self.member.join([topic], Changes(self._assigned, self._revoked, self._lost))

    def read_until(self, look: Callable[[], bool]) -> None:
        """Read, until something is so."""

        def step() -> bool:
            for message in self.member.fetch(100, 0.05):
                error = message.error()
                if error is not None and self.member.look_at(error):
                    break
            return look()

        eventually(step)

    def _assigned(self, places: list[TopicPartition]) -> None:
        self.owned |= {place.partition for place in places}

    def _revoked(self, places: list[TopicPartition]) -> None:
        self.owned -= {place.partition for place in places}

    def _lost(self, places: list[TopicPartition]) -> None:
        self._revoked(places)
        self.lost |= {place.partition for place in places}


def test_a_fenced_member_loses_all_that_it_has_and_joins_again(kafka: str) -> None:
    """It may keep nothing: another process of its name has it already."""
    settings = load(kafka_bootstrap_servers=kafka)
    topic, group = unique_name("things"), unique_name("members")
    admin = AdminClient(clients.librdkafka(settings))
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(60)
    first = Static(settings, group, topic)
    first.read_until(lambda: first.owned == BOTH)
    second = Static(settings, group, topic)
    second.read_until(lambda: second.owned == BOTH)
    first.read_until(lambda: bool(first.lost))
    assert (first.owned, first.lost) == (set(), BOTH)
    second.member.close()
    first.read_until(lambda: first.owned == BOTH)
    first.member.close()
    rejoins = [
        one.metrics.registry.get_sample_value("countermand_rejoins_total")
        for one in (first, second)
    ]
    assert rejoins == [1, 0]
