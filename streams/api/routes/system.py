"""`/v1/system`: who is at work, how far behind, on which topics, settings and versions."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, TypeVar

from confluent_kafka.admin import AdminClient
from fastapi import APIRouter, Query, Request
from sqlalchemy import select

from streams.api.call.guard import GuardedRoute
from streams.api.call.roles import Role
from streams.api.call.service import CurrentService, Service
from streams.api.operations import operation
from streams.api.paging import Envelope, envelope
from streams.api.problems import as_problem
from streams.api.system_model import (
    FailedPart,
    GroupOfProcesses,
    Known,
    SchemaVersion,
    Setting,
    System,
    SystemQuery,
    TopicsCheck,
    Versions,
    group_of,
    known_groups,
)
from streams.database.schema import POSITIONS
from streams.database.upgrade import schema_of
from streams.doctor.kafka import release
from streams.kafka.admin import admin_client, list_partitions, partition_ends
from streams.kafka.deadline import Deadline
from streams.kafka.groups import Group, describe_group, group_names
from streams.kafka.topics import inspect_topics
from streams.settings.page import effective
from streams.versions import versions
from topology.topics import TopicPlace

T = TypeVar("T")

PATH: Final = "/v1/system"
router = APIRouter(tags=["system"], route_class=GuardedRoute)


@router.get(PATH, **operation("getSystem", Role.OPERATOR, 422))
async def get(
    request: Request, service: CurrentService, _: Annotated[SystemQuery, Query()]
) -> Envelope[System]:
    """Who is at work and how far behind, as Kafka tells it; topics, settings and versions."""
    return await service.kafka_reads.take(request, lambda: envelope(_System(service).read()))


class _System:
    """What one call finds out, part by part: those that fail are named."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings
        self._admin: AdminClient = admin_client(service.settings)
        self._deadline = Deadline(service.kafka_within_s)
        self._failed: list[FailedPart] = []

    def read(self) -> System:
        """All of it.

        Raises:
            UnreachableError: no broker answers.
        """
        there = list_partitions(self._admin, self._deadline)
        groups = self._groups(there)
        topics = self._part("topics", self._topics)
        return System(
            groups=groups,
            topics=topics,
            settings=[Setting.model_validate(one) for one in effective(self._settings)],
            versions=Versions(
                installed=versions(),
                kafka=self._part("versions.kafka", self._release),
                database=self._part("versions.database", self._schema),
            ),
            failed=self._failed,
        )

    def _part(self, part: str, read: Callable[[], T]) -> T | None:
        """What `read` gives; None if it fails as things outside of this process may."""
        try:
            return read()
        except Exception as error:
            problem = as_problem(error, PATH)
            if problem is None:
                raise
            self._failed.append(FailedPart(part=part, code=problem.code, detail=problem.detail))
            return None

    def _groups(self, there: frozenset[TopicPlace]) -> list[GroupOfProcesses]:
        names = self._part("groups", lambda: group_names(self._admin, self._deadline))
        found: list[tuple[Known, Group]] = []
        for known in known_groups(names or (), self._settings):
            group = self._part(known.name, lambda: self._group(known.name))  # noqa: B023  # called at once
            if group is not None:
                found.append((known, group))
        copied = self._part("read_model.positions", self._copied) or {}
        positions = {
            known: copied if known.kind == "read_model" else group.committed
            for known, group in found
        }
        owned = {place for _, group in found for one in group.members for place in one.places}
        asked = there & owned.union(*positions.values())
        ends = self._part("lag", lambda: partition_ends(self._admin, asked, self._deadline)) or {}
        return [group_of(known, group, positions[known], ends) for known, group in found]

    def _group(self, name: str) -> Group:
        return describe_group(self._admin, name, self._deadline)

    def _copied(self) -> Mapping[TopicPlace, int]:
        """How far the read model is: its positions are in the database alone."""
        columns = (POSITIONS.c.topic, POSITIONS.c.partition, POSITIONS.c.next_offset)
        with self._service.engine.connect() as connection:
            rows = connection.execute(select(*columns))
            return {(topic, partition): offset for topic, partition, offset in rows}

    def _topics(self) -> TopicsCheck:
        return TopicsCheck.model_validate(inspect_topics(self._settings, self._deadline).as_json())

    def _release(self) -> str:
        return release(self._settings, self._deadline)

    def _schema(self) -> SchemaVersion:
        found = schema_of(self._service.engine)
        return SchemaVersion(revision=found.revision, newest=found.newest)
