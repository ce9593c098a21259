"""Asks the brokers about themselves and their topics; refusals become Countermand's errors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from streams.errors import KafkaRefusedError, UnreachableError
from streams.kafka import clients, codes
from streams.kafka.deadline import NEVER, TIMEOUT_S, Deadline
from streams.settings import Settings
from topology.topics import TopicPlace

REACH_TIMEOUT_S: Final = 5.0
_ABSENT: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION)


@dataclass(frozen=True)
class TopicState:
    """A topic as the brokers have it; deleted and made anew, it has another `id`."""

    name: str
    id: bytes
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


def admin_client(settings: Settings) -> AdminClient:
    """An admin client that writes nothing to stderr."""
    return AdminClient(clients.librdkafka(settings, log_level=0))


def list_brokers(admin: AdminClient, deadline: Deadline = NEVER) -> dict[int, str]:
    """The brokers of the cluster, `host:port` by id.

    Raises:
        UnreachableError: no broker answers.
    """
    try:
        brokers = admin.list_topics(timeout=deadline.seconds(REACH_TIMEOUT_S)).brokers
    except KafkaException as error:
        raise unreachable(error) from error
    return {number: f"{broker.host}:{broker.port}" for number, broker in brokers.items()}


def list_partitions(admin: AdminClient, deadline: Deadline = NEVER) -> frozenset[TopicPlace]:
    """The partitions of all topics that this client may see.

    Raises:
        UnreachableError: no broker answers.
    """
    try:
        found = admin.list_topics(timeout=deadline.seconds(REACH_TIMEOUT_S)).topics
    except KafkaException as error:
        raise unreachable(error) from error
    return frozenset((name, number) for name, topic in found.items() for number in topic.partitions)


def unreachable(error: KafkaException) -> UnreachableError | KafkaRefusedError:
    """Countermand's error for one of librdkafka's: the brokers don't answer, or they refuse."""
    reason = error.args[0]
    if reason.code() in codes.UNREACHABLE:
        return UnreachableError(
            f"Kafka doesn't answer: {reason.str()}. Is it up? "
            "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS says where it is"
        )
    return KafkaRefusedError(f"Kafka refuses: {reason.str()}")


def describe_topics(
    admin: AdminClient, names: Iterable[str], deadline: Deadline = NEVER
) -> dict[str, TopicState]:
    """The topics of these names that exist, by name.

    Raises:
        UnreachableError: no broker answers.
    """
    list_brokers(admin, deadline)  # otherwise an unreachable broker would cost a timeout per topic
    described = _described(admin, names, deadline)
    configs = _configs(admin, described, deadline)
    return {
        name: TopicState(
            name=name,
            id=uuid_bytes(topic.topic_id),
            partitions=len(topic.partitions),
            replication_factor=len(topic.partitions[0].replicas),
            config=configs[name],
        )
        for name, topic in described.items()
        if name in configs  # a topic that is just made or deleted may be known by one answer alone
    }


def topic_ids(admin: AdminClient) -> frozenset[bytes]:
    """The ids of all topics that this client may see.

    Raises:
        UnreachableError: no broker answers.
    """
    try:
        names = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise unreachable(error) from error
    return frozenset(
        uuid_bytes(topic.topic_id) for topic in _described(admin, names, NEVER).values()
    )


def uuid_bytes(uuid: Uuid) -> bytes:
    """The 16 bytes of a topic's id."""
    # The stubs don't know these methods.
    high: int = uuid.get_most_significant_bits()  # type: ignore[attr-defined]
    low: int = uuid.get_least_significant_bits()  # type: ignore[attr-defined]
    return b"".join((half % (1 << 64)).to_bytes(8, "big") for half in (high, low))


def partition_ends(
    admin: AdminClient, places: Iterable[TopicPlace], deadline: Deadline = NEVER
) -> dict[TopicPlace, int]:
    """The offsets at which the committed records of partitions end.

    Raises:
        UnreachableError: no broker answers.
        KafkaRefusedError: the brokers refuse.
    """
    wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    if not wanted:
        return {}
    futures = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=deadline.seconds()
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


def _described(
    admin: AdminClient, names: Iterable[str], deadline: Deadline
) -> dict[str, TopicDescription]:
    collection = TopicCollection(list(names))
    futures = admin.describe_topics(collection, request_timeout=deadline.seconds())
    described = {}
    for name, future in futures.items():
        try:
            described[name] = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise KafkaRefusedError(
                    f"Kafka refuses: no right to Describe topic {name}"
                ) from error
            if error.args[0].code() not in _ABSENT:
                raise unreachable(error) from error
    return described


def _configs(
    admin: AdminClient, names: Iterable[str], deadline: Deadline
) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    futures = admin.describe_configs(resources, request_timeout=deadline.seconds())
    configs = {}
    for resource, future in futures.items():
        try:
            entries = future.result()
        except KafkaException as error:
            if error.args[0].code() not in _ABSENT:
                raise unreachable(error) from error
        else:
            configs[resource.name] = {name: entry.value for name, entry in entries.items()}
    return configs
