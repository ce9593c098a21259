"""Asks the brokers about the topics that are read."""

from collections.abc import Collection
from typing import Final

from confluent_kafka.admin import AdminClient

from streams.errors import KafkaRefusedError
from streams.kafka.admin import TopicState, describe_topics
from streams.read_model.positions import TopicNow

# With this policy alone a topic keeps every key for ever, but its tombstones only for a while.
_COMPACT: Final = "compact"


def describe(admin: AdminClient, names: Collection[str]) -> dict[str, TopicState]:
    """The topics of these names.

    Raises:
        UnreachableError: no broker answers.
        KafkaRefusedError: a topic is missing.
    """
    states = describe_topics(admin, names)
    missing = sorted(set(names) - set(states))
    if missing:
        raise KafkaRefusedError(f"{missing[0]} is missing. Run: countermand topics create")
    return states


def topic_now(state: TopicState) -> TopicNow:
    """The facts about a topic that tell whether positions are still valid."""
    forgets = state.config["cleanup.policy"] == _COMPACT
    after = int(state.config["delete.retention.ms"]) if forgets else None
    return TopicNow(state.id.hex(), after)
