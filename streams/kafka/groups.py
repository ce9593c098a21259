"""Asks the brokers about consumer groups: who is in them, and how far they are."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ConsumerGroupDescription,
)

from streams.kafka.admin import unreachable
from streams.kafka.deadline import NEVER, Deadline
from topology.topics import TopicPlace


class GroupMember(NamedTuple):
    """A client in a group, and the partitions that it has; `instance_id`: a static member's."""

    id: str
    client_id: str
    host: str
    instance_id: str | None
    places: frozenset[TopicPlace]


class Group(NamedTuple):
    """A group as its coordinator has it.

    Attributes:
        state: Kafka's word for it; `dead` where there is no such group.
        members: The clients in it.
        committed: The next offset to read, by partition.
    """

    state: str
    members: tuple[GroupMember, ...]
    committed: Mapping[TopicPlace, int]


_NO_GROUP: Final = Group("dead", (), {})


def group_names(admin: AdminClient, deadline: Deadline = NEVER) -> list[str]:
    """The names of all groups that this client may see.

    Raises:
        UnreachableError: a broker doesn't answer.
        KafkaRefusedError: a broker refuses.
    """
    try:
        found = admin.list_consumer_groups(request_timeout=deadline.seconds()).result()
    except KafkaException as error:
        raise unreachable(error) from error
    for failed in found.errors:
        raise unreachable(failed) from failed
    return sorted(group.group_id for group in found.valid)


def describe_group(admin: AdminClient, name: str, deadline: Deadline = NEVER) -> Group:
    """A group's members and committed offsets.

    Raises:
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: the brokers refuse.
    """
    asked = [ConsumerGroupTopicPartitions(name)]
    try:
        described = admin.describe_consumer_groups([name], request_timeout=deadline.seconds())
        group: ConsumerGroupDescription = described[name].result()
        listed = admin.list_consumer_group_offsets(asked, request_timeout=deadline.seconds())
        offsets = listed[name].result().topic_partitions
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return _NO_GROUP
        raise unreachable(error) from error
    return Group(
        state=group.state.name.lower(),
        members=tuple(
            GroupMember(
                id=member.member_id,
                client_id=member.client_id,
                host=member.host.lstrip("/"),
                instance_id=member.group_instance_id,
                places=frozenset(
                    (place.topic, place.partition) for place in member.assignment.topic_partitions
                ),
            )
            for member in group.members
        ),
        # Below 0: nothing is committed.
        committed={(one.topic, one.partition): one.offset for one in offsets if one.offset >= 0},
    )
