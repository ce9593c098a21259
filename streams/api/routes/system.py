"""`/v1/system`: who is at work, how far behind, on which topics, settings and versions."""

from collections.abc import Callable, Mapping
from functools import partial
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
from streams.kafka.groups import NO_GROUP, Group, committed, describe_group, group_names
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
        groups: dict[Known, Group] = {}
        positions: dict[Known, Mapping[TopicPlace, int]] = {}
        for known in known_groups(names or (), self._settings):
            ask = partial(describe_group, self._admin, known.name, self._deadline)
            group = self._part(known.name, ask)
            if group is not None:
                groups[known] = group
                read = partial(self._positions, known, group, there)
                positions[known] = self._part(f"{known.name}.positions", read) or {}
        owned = {place for one in groups.values() for each in one.members for place in each.places}
        asked = there & owned.union(*positions.values())
        ends = self._part("lag", lambda: partition_ends(self._admin, asked, self._deadline)) or {}
        return [group_of(known, groups[known], positions[known], ends) for known in groups]

    def _positions(
        self, known: Known, group: Group, there: frozenset[TopicPlace]
    ) -> Mapping[TopicPlace, int]:
        """How far a group is; the read model's positions are in the database alone."""
        if known.kind == "read_model":
            return self._copied()
        if group.state == NO_GROUP.state:
            return {}
        places = [place for place in there if place[0] in known.topics]
        return committed(self._settings, known.name, places, self._deadline)

    def _copied(self) -> Mapping[TopicPlace, int]:
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
