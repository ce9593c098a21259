"""Kafka's topics against `topology.topics`: make what is missing, check what is there."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams.admin import (
    TIMEOUT_S,
    TopicState,
    admin_client,
    describe_topics,
    list_brokers,
    unreachable,
)
from streams.errors import TopicsError
from streams.settings import Settings
from topology import limits, topics
from topology.topics import Owner, Partitions, TopicSpec

LOG_APPEND_TIME: Final = "LogAppendTime"
_POLL_S: Final = 0.05
_OUTPUTS: Final = (topics.CANCELLED, topics.DEAD_LETTERS, topics.REQUEST_PROGRESS)


class Severity(StrEnum):
    """What a finding means for a process that starts."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one topic, and what mends it."""

    topic: str
    severity: Severity
    problem: str
    remedy: str


@dataclass(frozen=True)
class TopicsReport:
    """What a check found; `event_bytes` is the event limit that these topics allow."""

    topics: Mapping[str, TopicState]
    findings: tuple[Finding, ...]
    event_bytes: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that keep a process from starting."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a process starts with."""
        return tuple(f for f in self.findings if f.severity is Severity.WARNING)


@dataclass
class Created:
    """What `create_topics` did, by full name."""

    created: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    replication_factor: int = 0


def check_topics(settings: Settings) -> TopicsReport:
    """Compare the topics with what this process needs, before it starts.

    Raises:
        TopicsError: a topic is missing or made the wrong way.
        UnreachableError: no broker answers.
    """
    report = inspect_topics(settings)
    if report.errors:
        raise TopicsError("\n".join(grouped(report.errors)))
    return report


def inspect_topics(settings: Settings) -> TopicsReport:
    """Compare the topics with what a process needs, and report every difference.

    Raises:
        UnreachableError: no broker answers.
    """
    specs = expected_topics(settings)
    admin = admin_client(settings)
    found = describe_topics(admin, specs)
    other_count = _other_count(found, specs, settings)
    findings = [] if other_count is None else [other_count]
    for name, spec in specs.items():
        state = found.get(name)
        if state is None:
            findings.append(_missing(name, settings))
        else:
            findings += _differences(state, spec)
            counted = spec.partitions is Partitions.SHARED and other_count is not None
            findings += [] if counted else _wrong_partitions(state, spec, settings)
    event_bytes = _event_limit(found, specs)
    if event_bytes <= 0:
        findings.append(_too_small(found, specs))
    return TopicsReport(found, tuple(findings), event_bytes)


def grouped(findings: Iterable[Finding]) -> list[str]:
    """Findings as lines, where topics with one problem and remedy share a line."""
    lines: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        lines.setdefault((finding.problem, finding.remedy), []).append(finding.topic)
    return [f"{', '.join(names)}: {what}. {remedy}" for (what, remedy), names in lines.items()]


def expected_topics(settings: Settings) -> dict[str, TopicSpec]:
    """Every topic that processes need, by full name; a user's own inputs are as `events`."""
    own = {settings.topic(spec): spec for spec in topics.TOPICS if spec.owner is not Owner.USER}
    inputs = {spec.topic: topics.EVENTS for spec in settings.input_specs if spec.topic not in own}
    return inputs | own


def create_topics(settings: Settings, *, mend: bool = False) -> Created:
    """Make the topics that are missing; with `mend`, set Countermand's own to what they must be.

    Raises:
        TopicsError: the broker refused; it says which topic and why.
        UnreachableError: no broker answers.
    """
    admin = admin_client(settings)
    brokers = len(list_brokers(admin))
    factor = settings.replication_factor
    if settings.source("replication_factor") == "default":
        factor = min(factor, brokers)  # a broker on this machine is one broker
    wanted = {settings.topic(spec): spec for spec in topics.TOPICS}
    found = describe_topics(admin, wanted)
    done = Created(existing=sorted(found), replication_factor=factor)
    new = [
        NewTopic(
            name,
            num_partitions=_partitions(spec, settings),
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


def topic_config(spec: TopicSpec, settings: Settings, factor: int) -> dict[str, str]:
    """The configuration that a topic is made with."""
    config = spec.config(factor)
    if "retention.ms" in config:
        output = spec in _OUTPUTS
        kept = settings.retention_outputs if output else settings.retention_inputs
        config["retention.ms"] = str(int(kept.total_seconds() * 1000))
    return config


def _missing(name: str, settings: Settings) -> Finding:
    standard = name in {settings.topic(spec) for spec in topics.TOPICS}
    remedy = "Run: countermand topics create"
    if not standard:
        remedy = "Make it, or take it out of COUNTERMAND_INPUTS"
    return Finding(name, Severity.ERROR, "missing", remedy)


def _differences(state: TopicState, spec: TopicSpec) -> list[Finding]:
    """What differs from the spec: an error on Countermand's own topics, a warning on inputs."""
    findings = []
    severity = Severity.WARNING if spec.owner is Owner.USER else Severity.ERROR
    mend = "Run: countermand topics create --mend"
    cleanup = state.config["cleanup.policy"]
    if set(cleanup.split(",")) != set(spec.cleanup.split(",")) and severity is Severity.ERROR:
        problem = f"cleanup.policy is {cleanup}, not {spec.cleanup}"
        findings.append(Finding(state.name, severity, problem, mend))
    if spec.log_append_time and state.config["message.timestamp.type"] != LOG_APPEND_TIME:
        problem = "message.timestamp.type is CreateTime: received times are the producers' clocks"
        remedy = "LogAppendTime keeps late records out" if severity is Severity.WARNING else mend
        findings.append(Finding(state.name, severity, problem, remedy))
    if _message_bytes(state) < limits.MESSAGE_BYTES and severity is Severity.ERROR:
        problem = f"max.message.bytes is {_message_bytes(state):,}: events must be smaller"
        findings.append(Finding(state.name, Severity.WARNING, problem, mend))
    return findings


def _wrong_partitions(state: TopicState, spec: TopicSpec, settings: Settings) -> list[Finding]:
    expected = _partitions(spec, settings)
    if spec.partitions is Partitions.FREE or state.partitions == expected:
        return []
    problem = f"{state.partitions} partitions, not {expected}"
    remedy = (
        "Delete it, with all that it holds, and make it anew: "
        f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers} "
        f"--delete --topic {state.name}; countermand topics create"
    )
    return [Finding(state.name, Severity.ERROR, problem, remedy)]


def _other_count(
    found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec], settings: Settings
) -> Finding | None:
    """All shared topics agree on another count than the setting: then the setting is wrong."""
    shared = [s for s in found.values() if specs[s.name].partitions is Partitions.SHARED]
    counts = {state.partitions for state in shared}
    if len(counts) != 1 or counts == {settings.partitions}:
        return None
    count = counts.pop()
    return Finding(
        settings.topic(topics.COMMANDS),
        Severity.ERROR,
        f"it and the {len(shared) - 1} topics that share its count have {count} partitions, "
        f"COUNTERMAND_PARTITIONS is {settings.partitions}",
        f"Set COUNTERMAND_PARTITIONS={count}: the count is fixed for life",
    )


def _partitions(spec: TopicSpec, settings: Settings) -> int:
    return 1 if spec.partitions is Partitions.ONE else settings.partitions


def _message_bytes(state: TopicState) -> int:
    return int(state.config["max.message.bytes"])


def _event_limit(found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec]) -> int:
    """How large an event may be, so that the smallest topic takes all that comes of it."""
    own = [_message_bytes(found[name]) for name in found if specs[name].owner is not Owner.USER]
    smallest = min([limits.MESSAGE_BYTES, *own])
    twice = (smallest - limits.ENVELOPE_BYTES) // 2
    batch = smallest - limits.FUNCTION_BYTES - limits.BATCH_BYTES
    return min(limits.EVENT_BYTES, twice, batch)


def _too_small(found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec]) -> Finding:
    own = [found[name] for name in found if specs[name].owner is not Owner.USER]
    smallest = min(own, key=_message_bytes)
    problem = f"max.message.bytes is {_message_bytes(smallest):,}: no event fits"
    return Finding(smallest.name, Severity.ERROR, problem, "Run: countermand topics create --mend")


def _create(admin: AdminClient, new: list[NewTopic]) -> list[str]:
    created = []
    futures = admin.create_topics(new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            # Somebody else made it meanwhile; the check before a start compares it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise _refused(name, error) from error
        else:
            created.append(name)
    return created


def _await(waiting: Callable[[], set[str]]) -> None:
    """Wait until no topic waits any more: brokers tell of a change a little after they made it."""
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
    """Set what differs in the configuration of Countermand's own topics; partitions stay."""
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
    """Set these configurations, and wait until the brokers tell of them."""
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
