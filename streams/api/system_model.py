"""The system as `/v1/system` shows it: groups, topics, settings and versions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from streams.api.fields import Answer, Body
from streams.kafka.groups import Group, GroupMember
from streams.settings import Settings
from topology import topics
from topology.topics import TopicPlace, TopicSpec

Kind = Literal["router", "joiner", "read_model", "worker", "cleanup"]


class SystemQuery(Body):
    """There is nothing to choose: every parameter is refused."""


class Known(NamedTuple):
    """A group of Countermand's processes; `topics`: those whose offsets it stores in Kafka."""

    name: str
    kind: Kind
    topics: tuple[str, ...] = ()
    app: str | None = None


class GroupClient(Answer):
    """A process in a group."""

    id: str
    client_id: str
    host: str
    instance_id: str | None = Field(description="The name of a static member.")
    partitions: int = Field(description="How many it has.")


class GroupPartition(Answer):
    """How far a group is in a partition."""

    topic: str
    partition: int
    member: str | None = Field(description="The id of the member that has it; null: nobody has.")
    position: int | None = Field(description="The next offset to read; null: none is stored.")
    end: int | None = Field(description="Where its committed records end; null: isn't known.")
    lag: int | None = Field(description="How many offsets lie between; null: isn't known.")


class GroupOfProcesses(Answer):
    """Processes that share partitions."""

    name: str
    kind: Kind
    app: str | None = Field(description="The app of a worker's or cleanup's group.")
    state: str = Field(description="Kafka's word for it: `stable`, `empty`, `dead` (none is) …")
    members: list[GroupClient]
    partitions: list[GroupPartition]
    lag: int = Field(description="Of all partitions whose lag is known.")


class TopicFacts(Answer):
    """A topic as the brokers have it."""

    id: str
    partitions: int
    replication_factor: int


class TopicFinding(Answer):
    """What is wrong with a topic, and what mends it."""

    topic: str
    severity: Literal["error", "warning"]
    problem: str
    remedy: str


class TopicsCheck(Answer):
    """What `countermand topics check` says."""

    ok: bool = Field(description="Whether processes would start on these topics.")
    partitions: int = Field(description="The count that topics share; 0: there is none of them.")
    event_bytes: int = Field(description="The size of the largest event that fits.")
    topics: dict[str, TopicFacts]
    findings: list[TopicFinding]


class Setting(Answer):
    """A setting of this API's process; secrets are masked."""

    variable: str
    value: str
    source: Literal["default", "environment", "flag"]


class SchemaVersion(Answer):
    """The schema of the database."""

    revision: str | None = Field(description="The id of its last migration.")
    newest: str | None = Field(description="The last one that this release knows.")


class Versions(Answer):
    """What runs here, and what it talks to."""

    installed: dict[str, str] = Field(description="Countermand, Python, the main libraries.")
    kafka: str | None = Field(description="The releases of which a broker may be.")
    database: SchemaVersion | None


class FailedPart(Answer):
    """A part of the answer that is missing, and why."""

    part: str = Field(
        description="`groups` (of apps), a group by its name, or its `.positions`, `lag`, "
        "`topics`, `versions.kafka`, `versions.database`."
    )
    code: str
    detail: str


class System(Answer):
    """The system; what is null or left out has failed, and is named in `failed`."""

    groups: list[GroupOfProcesses]
    topics: TopicsCheck | None
    settings: list[Setting]
    versions: Versions
    failed: list[FailedPart]


def known_groups(names: Iterable[str], settings: Settings) -> Iterator[Known]:
    """The groups of Countermand's processes; those of apps are found among the `names` of all."""
    yield Known(settings.router_group, "router", settings.routed_topics)
    yield Known(settings.joiner_group, "joiner", (settings.topic(topics.COMMANDS),))
    yield Known(settings.read_model_group, "read_model")  # its offsets are in the database
    of_apps: tuple[tuple[Kind, str, TopicSpec], ...] = (
        ("worker", settings.worker_group(""), topics.RUNS),
        ("cleanup", settings.cleanup_group(""), topics.CANCELLED),
    )
    for name in names:
        for kind, prefix, spec in of_apps:
            if name.startswith(prefix):
                yield Known(name, kind, (settings.topic(spec),), name.removeprefix(prefix))


def group_of(
    known: Known,
    group: Group,
    positions: Mapping[TopicPlace, int],
    ends: Mapping[TopicPlace, int],
) -> GroupOfProcesses:
    """A group with the next offsets that it reads, and the ends of partitions that are known."""
    owners = {place: member.id for member in group.members for place in member.places}
    partitions = [
        GroupPartition(
            topic=place[0],
            partition=place[1],
            member=owners.get(place),
            position=positions.get(place),
            end=ends.get(place),
            lag=_lag(positions.get(place), ends.get(place)),
        )
        for place in sorted(owners.keys() | positions.keys())
    ]
    return GroupOfProcesses(
        name=known.name,
        kind=known.kind,
        app=known.app,
        state=group.state,
        members=[_client(member) for member in group.members],
        partitions=partitions,
        lag=sum(one.lag or 0 for one in partitions),
    )


def _client(member: GroupMember) -> GroupClient:
    return GroupClient(
        id=member.id,
        client_id=member.client_id,
        host=member.host,
        instance_id=member.instance_id,
        partitions=len(member.places),
    )


def _lag(position: int | None, end: int | None) -> int | None:
    """How far a position is from the end, which was asked for a moment later or earlier."""
    return None if position is None or end is None else max(0, end - position)
