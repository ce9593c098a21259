"""Asks the brokers about the topics that are read: their ids, their ends and who reads them."""

from collections.abc import Collection, Iterable
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    OffsetSpec,
)

from streams.errors import KafkaRefusedError, UnreachableError
from streams.kafka.admin import TIMEOUT_S, TopicState, describe_topics, unreachable
from streams.read_model.positions import TopicNow
from topology.topics import TopicPlace

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


def ends(admin: AdminClient, places: Iterable[TopicPlace]) -> dict[TopicPlace, int]:
    """The offsets at which the committed records of partitions end.

    Raises:
        UnreachableError: no broker answers.
        KafkaRefusedError: the brokers refuse.
    """
    wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    if not wanted:
        return {}
    futures = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
    )
    try:
        results = {
            (place.topic, place.partition): future.result() for place, future in futures.items()
        }
    except KafkaException as error:
        raise unreachable(error) from error
    # A broken connection leaves an end below 0, without any error.
    if any(result.offset < 0 for result in results.values()):
        raise UnreachableError("Kafka doesn't say where its partitions end")
    return {place: result.offset for place, result in results.items()}


def members(admin: AdminClient, group: str) -> int:
    """The number of consumers in a group.

    Raises:
        UnreachableError: no broker answers.
    """
    future = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group]
    try:
        return len(future.result().members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise unreachable(error) from error
