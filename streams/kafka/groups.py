"""Asks the brokers about consumer groups: who is in them, and how far they are."""

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ConsumerGroupDescription,
)

from streams.kafka import clients, codes
from streams.kafka.admin import unreachable
from streams.kafka.consumers import follower
from streams.kafka.deadline import NEVER, Deadline
from streams.settings import Settings
from topology.topics import TopicPlace

# A group's coordinator is just changing, or brokers that never had a group make its topic first.
_PASSING: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    codes.TIMED_OUT,
)
_QUESTION_S: Final = 3.0
T = TypeVar("T")
_PAUSE_S: Final = 0.2


class GroupMember(NamedTuple):
    """A client in a group, and the partitions that it has; `instance_id`: a static member's."""

    id: str
    client_id: str
    host: str
    instance_id: str | None
    places: frozenset[TopicPlace]


class Group(NamedTuple):
    """A group as its coordinator has it; `state`: Kafka's word, `dead` where there is none."""

    state: str
    members: tuple[GroupMember, ...]


NO_GROUP: Final = Group("dead", ())


def group_names(admin: AdminClient, deadline: Deadline = NEVER) -> list[str]:
    """The names of all groups that this client may see; brokers that just change get time.

    Raises:
        UnreachableError: a broker doesn't answer.
        KafkaRefusedError: a broker refuses.
    """

    def ask(within_s: float) -> list[str]:
        found = admin.list_consumer_groups(request_timeout=within_s).result()
        for failed in found.errors:
            raise KafkaException(failed)  # each is a `KafkaError`, whatever the client's pages say
        return sorted(group.group_id for group in found.valid)

    return _patiently(ask, deadline)


def describe_group(admin: AdminClient, name: str, deadline: Deadline = NEVER) -> Group:
    """A group and its members; a coordinator that is just changing gets time.

    Raises:
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: the brokers refuse.
    """

    def ask(within_s: float) -> Group:
        described = admin.describe_consumer_groups([name], request_timeout=within_s)
        try:
            return _group(described[name].result())
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return NO_GROUP
            raise

    return _patiently(ask, deadline)


def committed(
    settings: Settings, group: str, places: Iterable[TopicPlace], deadline: Deadline = NEVER
) -> dict[TopicPlace, int]:
    """The next offsets that a group has stored, of those partitions where it has one.

    Raises:
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: the brokers refuse.
    """
    # It joins nothing. An admin client's question would end the process with a segmentation fault
    # where a coordinator is just changing (librdkafka, issue 5040).
    consumer = follower(clients.librdkafka(settings, log_level=0), group)
    try:
        asked = [TopicPartition(*place) for place in sorted(places)]
        found = consumer.committed(asked, timeout=deadline.seconds())
    except KafkaException as error:
        raise unreachable(error) from error
    finally:
        consumer.close()
    return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}


def _patiently(ask: Callable[[float], T], deadline: Deadline) -> T:
    """What brokers answer to a question that takes so many seconds; asked again while they change.

    Raises:
        UnreachableError: they don't answer.
        KafkaRefusedError: they refuse.
    """
    patience = Deadline(deadline.seconds())
    while True:
        try:
            return ask(patience.seconds(_QUESTION_S))
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or patience.left_s <= _PAUSE_S:
                raise unreachable(error) from error
        time.sleep(_PAUSE_S)


def _group(found: ConsumerGroupDescription) -> Group:
    members = tuple(
        GroupMember(
            id=member.member_id,
            client_id=member.client_id,
            host=member.host.lstrip("/"),
            instance_id=member.group_instance_id,
            places=frozenset(
                (place.topic, place.partition) for place in member.assignment.topic_partitions
            ),
        )
        for member in found.members
    )
    return Group(found.state.name.lower(), members)
