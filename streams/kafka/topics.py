"""Makes the topics of `topology.topics`, and compares those that exist with it."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from msgspec import structs

from streams import logs
from streams.errors import KafkaRefusedError, TopicsError, UnreachableError
from streams.kafka.admin import (
    TopicState,
    admin_client,
    describe_topics,
    list_brokers,
    unreachable,
)
from streams.kafka.deadline import NEVER, PAUSE_S, START_S, TIMEOUT_S, Deadline
from streams.kafka.findings import (
    Finding,
    Severity,
    event_limit,
    find,
    grouped,
    other_count,
    partition_count,
    shared_count,
    unknown_count,
)
from streams.kafka.noted import noted_count
from streams.settings import Settings
from topology import topics
from topology.topics import Owner, TopicSpec

_POLL_S: Final = 0.05
# People look these up later. Requests are kept as long as their progress.
OUTPUTS: Final = (
    topics.CANCELLED,
    topics.DEAD_LETTERS,
    topics.REQUESTS,
    topics.REQUEST_PROGRESS,
)

log = logs.get(__name__)


@dataclass(frozen=True)
class TopicsReport:
    """The result of a check.

    Attributes:
        topics: The topics that exist, by full name.
        findings: What is wrong with them.
        event_bytes: The size of the largest event that fits.
        partitions: The partition count that topics share; 0 if there is none of them.
    """

    topics: Mapping[str, TopicState]
    findings: tuple[Finding, ...]
    event_bytes: int
    partitions: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that keep a process from starting."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a process starts with."""
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)

    def as_json(self) -> dict[str, Any]:
        """The report as `topics check --json` and the API tell it."""
        return {
            "ok": not self.errors,
            "partitions": self.partitions,
            "event_bytes": self.event_bytes,
            "topics": {
                state.name: {
                    "id": state.id.hex(),
                    "partitions": state.partitions,
                    "replication_factor": state.replication_factor,
                }
                for state in self.topics.values()
            },
            "findings": [
                {
                    "topic": finding.topic,
                    "severity": finding.severity.value,
                    "problem": finding.problem,
                    "remedy": finding.remedy,
                }
                for finding in self.findings
            ],
        }


@dataclass
class Created:
    """The topics, by full name, that `create_topics` made, found there, or changed.

    `partitions` is the count that those of Countermand's topics have which share one.
    """

    created: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    replication_factor: int = 0
    partitions: int = 0


def check_topics(settings: Settings, *used: TopicSpec) -> TopicsReport:
    """Compare the topics with what this process needs, before it starts.

    It uses these of the optional ones, and doesn't ask about others.

    Raises:
        TopicsError: a topic is missing or made the wrong way.
        UnreachableError: no broker answers.
    """
    report = _inspect(settings, needed_topics(settings, *used), NEVER)
    if report.errors:
        raise TopicsError("\n".join(grouped(report.errors)))
    return report


def await_topics(settings: Settings, stop: threading.Event) -> TopicsReport:
    """Check the topics as `check_topics` does, but give the brokers a minute to answer.

    They may start at the same time, or be just restarting.

    Raises:
        TopicsError: a topic is missing or made the wrong way.
        UnreachableError: no broker has answered in time, or before `stop` was set.
    """
    end = time.monotonic() + START_S
    while True:
        try:
            return check_topics(settings)
        except UnreachableError as error:
            if stop.wait(PAUSE_S) or time.monotonic() > end:
                raise
            log.warning("No broker answers yet", error=str(error))


def inspect_topics(settings: Settings, deadline: Deadline = NEVER) -> TopicsReport:
    """Compare the topics with what processes need, and report every difference.

    Raises:
        UnreachableError: no broker answers.
    """
    return _inspect(settings, expected_topics(settings), deadline)


def _inspect(
    settings: Settings, specs: Mapping[str, TopicSpec], deadline: Deadline
) -> TopicsReport:
    found = describe_topics(admin_client(settings), specs, deadline)
    shared = shared_count(found, specs)
    findings = find(found, specs, settings)
    if (state := settings.topic(topics.STATE)) in found:
        findings += _compared_with_rows(settings, state, shared, deadline)
    return TopicsReport(found, tuple(findings), event_limit(found, specs), shared)


def _compared_with_rows(
    settings: Settings, state: str, shared: int, deadline: Deadline
) -> list[Finding]:
    """What is wrong about the count that joiners have noted in the topic `state`."""
    try:
        noted = noted_count(settings, state, deadline)
    except KafkaRefusedError as error:
        return [unknown_count(state, str(error))]
    return [other_count(state, noted, shared)] if noted not in {0, shared} else []


def expected_topics(settings: Settings) -> dict[str, TopicSpec]:
    """Every topic that processes need, by full name; a user's input has the spec of `events`."""
    own = {settings.topic(spec): spec for spec in topics.TOPICS if spec.owner is not Owner.USER}
    inputs = {spec.topic: topics.EVENTS for spec in settings.input_specs if spec.topic not in own}
    return inputs | own


def needed_topics(settings: Settings, *used: TopicSpec) -> dict[str, TopicSpec]:
    """The expected topics that a process must have, which uses these of the optional ones."""
    expected = expected_topics(settings)
    needed = {name: spec for name, spec in expected.items() if not spec.optional or spec in used}
    return {name: structs.replace(spec, optional=False) for name, spec in needed.items()}


def create_topics(settings: Settings, *, mend: bool = False, count: int | None = None) -> Created:
    """Make the topics that are missing; with `mend`, correct the options of Countermand's own.

    The first topics are made with as many partitions as the settings say, or else with `count`;
    later ones with as many as the first.

    Raises:
        TopicsError: the settings ask for another count than topics have, or the broker refused; it
            says which topic and why.
        UnreachableError: no broker answers.
    """
    admin = admin_client(settings)
    brokers = len(list_brokers(admin))
    factor = settings.replication_factor
    if settings.source("replication_factor") == "default":
        factor = min(factor, brokers)  # a developer's cluster is one broker
    wanted = {settings.topic(spec): spec for spec in topics.TOPICS}
    found = describe_topics(admin, wanted)
    shared = _agreed_count(settings, shared_count(found, wanted), count)
    done = Created(existing=sorted(found), replication_factor=factor, partitions=shared)
    new = [
        NewTopic(
            name,
            num_partitions=partition_count(spec, shared) or shared,
            replication_factor=factor,
            config=topic_config(spec, settings, factor),
        )
        for name, spec in wanted.items()
        if name not in found
    ]
    if new:
        done.created = _create(admin, new)
        _await(lambda: wanted.keys() - describe_topics(admin, wanted).keys())
    if mend:
        done.mended = _mend(admin, found.values(), wanted, settings)
    return done


def _agreed_count(settings: Settings, there: int, count: int | None) -> int:
    """The partition count of new topics beside topics with the count `there` (0: there are none).

    Raises:
        TopicsError: the settings ask for another count.
    """
    asked = settings.source("partitions") != "default"
    if there and asked and settings.partitions != there:
        raise TopicsError(
            f"{settings.topic(topics.COMMANDS)} and the topics that share its count have {there} "
            f"partitions, not {settings.partitions}: the count is fixed for life. Leave out "
            "COUNTERMAND_PARTITIONS and --partitions"
        )
    return there or (settings.partitions if asked or count is None else count)


def topic_config(spec: TopicSpec, settings: Settings, factor: int) -> dict[str, str]:
    """The configuration that a topic is made with."""
    config = spec.config(factor)
    if "retention.ms" in config:
        output = spec in OUTPUTS
        kept = settings.retention_outputs if output else settings.retention_inputs
        config["retention.ms"] = str(int(kept.total_seconds() * 1000))
    return config


def _create(admin: AdminClient, new: list[NewTopic]) -> list[str]:
    created = []
    futures = admin.create_topics(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            # Another process has made the topic; the check before a start compares it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _refused(name, error) from error
        else:
            created.append(name)
    return created


def _await(waiting: Callable[[], set[str]]) -> None:
    """Wait until `waiting` names no topic: brokers show a change a little after they made it."""
    end = time.monotonic() + TIMEOUT_S
    while names := waiting():
        if time.monotonic() > end:
            raise TopicsError(f"{', '.join(sorted(names))}: changed, but the brokers don't show it")
        time.sleep(_POLL_S)


def _mend(
    admin: AdminClient,
    found: Iterable[TopicState],
    specs: Mapping[str, TopicSpec],
    settings: Settings,
) -> list[str]:
    """Correct the configuration of Countermand's own topics; the names of those that changed."""
    wrong = {}
    for state in found:
        spec = specs[state.name]
        wanted = topic_config(spec, settings, state.replication_factor)
        differing = {key: value for key, value in wanted.items() if state.config.get(key) != value}
        if differing and spec.owner is not Owner.USER:
            wrong[state.name] = differing
    if wrong:
        _alter(admin, wrong)
    return list(wrong)


def _alter(admin: AdminClient, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Set these configurations, and wait until the brokers show them."""
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in config.items()
            ],
        )
        for name, config in configs.items()
    ]
    futures = admin.incremental_alter_configs(resources, request_timeout=TIMEOUT_S)
    for resource, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            raise _refused(resource.name, error) from error
    _await(
        lambda: {
            name
            for name, state in describe_topics(admin, configs).items()
            if not configs[name].items() <= state.config.items()
        }
    )


def _refused(name: str, error: KafkaException) -> Exception:
    raised = unreachable(error)
    return TopicsError(f"{name}: {raised}")
