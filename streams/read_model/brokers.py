"""What the brokers say about the topics that are read: their ids, ends and members."""

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

# A topic that is cleaned up like this alone keeps every key for ever, but not that it was removed.
_COMPACT: Final = "compact"


def describe(admin: AdminClient, names: Collection[str]) -> dict[str, TopicState]:
    """The topics of these names.

    Raises:
        UnreachableError: no broker answers.
        KafkaRefusedError: one is missing.
    """
    found = describe_topics(admin, names)
    missing = sorted(set(names) - set(found))
    if missing:
        raise KafkaRefusedError(f"{missing[0]} is missing. Run: countermand topics create")
    return found


def topic_now(state: TopicState) -> TopicNow:
    """What positions need to know of a topic."""
    forgets = state.config["cleanup.policy"] == _COMPACT
    after = int(state.config["delete.retention.ms"]) if forgets else None
    return TopicNow(state.id.hex(), after)


def ends(admin: AdminClient, places: Iterable[TopicPlace]) -> dict[TopicPlace, int]:
    """Where partitions end, as far as committed.

    Raises:
        UnreachableError: no broker answers.
        KafkaRefusedError: they answer something else.
    """
    wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    if not wanted:
        return {}
    futures = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
    )
    try:
        found = {(one.topic, one.partition): future.result() for one, future in futures.items()}
    except KafkaException as error:
        raise unreachable(error) from error
    # An end below 0 is what a broken connection leaves, without any error.
    if any(one.offset < 0 for one in found.values()):
        raise UnreachableError("Kafka doesn't say where its partitions end")
    return {place: one.offset for place, one in found.items()}


def members(admin: AdminClient, group: str) -> int:
    """How many consumers a group has.

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
