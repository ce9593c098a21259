"""Removes static members from a consumer group: librdkafka has no call for it."""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka.client import (  # type: ignore[import-untyped]
    AIOKafkaClient,
    ConnectionGroup,
    CoordinationType,
)
from aiokafka.errors import KafkaError, NoError, for_code  # type: ignore[import-untyped]
from aiokafka.protocol.api import (  # type: ignore[import-untyped]
    Request,
    RequestStruct,
    Response,
)
from aiokafka.protocol.types import (  # type: ignore[import-untyped]
    Array,
    Int16,
    Int32,
    Schema,
    String,
)

from streams.errors import KafkaRefusedError, UnreachableError
from streams.kafka.aiokafka_client import aiokafka
from streams.settings import Settings

_TEXT: Final = String("utf-8")
_MEMBER: Final = (("member_id", _TEXT), ("group_instance_id", _TEXT))
# To the coordinator a member is known by its static name alone.
_ANY_ID: Final = ""


def remove_static_members(settings: Settings, group: str, names: Iterable[str]) -> None:
    """Let the members of these static names leave a group: others get their partitions at once.

    One that is alive after all joins again.

    Raises:
        UnreachableError: the brokers don't answer.
        KafkaRefusedError: the brokers refuse, or a name is no member's.
    """
    try:
        asyncio.run(_remove(settings, group, list(names)))
    except KafkaError as error:
        reason = f"{type(error).__name__} {error}".strip()
        if error.retriable:
            raise UnreachableError(f"Kafka doesn't answer: {reason}. Try again") from error
        raise KafkaRefusedError(f"Kafka refuses: {reason}") from error


async def _remove(settings: Settings, group: str, names: list[str]) -> None:
    client = AIOKafkaClient(**aiokafka(settings))
    try:
        await client.bootstrap()
        node = await client.coordinator_lookup(CoordinationType.GROUP, group)
        await client.force_metadata_update()
        answer = await client.send(node, _Leave(group, names), group=ConnectionGroup.COORDINATION)
    finally:
        await client.close()
    for code in (answer.error_code, *(code for *_, code in answer.members)):
        error = for_code(code)
        if error is not NoError:
            raise error


class _LeaveAnswer(Response):  # type: ignore[misc]  # untyped base
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("members", Array(*_MEMBER, ("error_code", Int16))),
    )


class _LeaveStruct(RequestStruct):  # type: ignore[misc]  # untyped base
    """The first version that takes static names, which brokers know since Kafka 2.4."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveAnswer
    SCHEMA = Schema(("group", _TEXT), ("members", Array(*_MEMBER)))


class _Leave(Request[_LeaveStruct]):  # type: ignore[misc]  # untyped base
    API_KEY = 13

    def __init__(self, group: str, names: list[str]) -> None:
        self._group = group
        self._names = names

    def build(self, request_struct_class: type[_LeaveStruct]) -> _LeaveStruct:
        """The request of a version."""
        return request_struct_class(self._group, [(_ANY_ID, name) for name in self._names])
