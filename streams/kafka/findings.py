"""Finds how topics differ from `topology.topics`, and says what mends each difference."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streams.kafka.admin import TopicState
from streams.settings import Settings
from topology import limits, topics
from topology.topics import Owner, Partitions, TopicSpec

LOG_APPEND_TIME: Final = "LogAppendTime"


class Severity(StrEnum):
    """What a finding means for a process that starts."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """A problem of a topic, and its remedy."""

    topic: str
    severity: Severity
    problem: str
    remedy: str


def grouped(findings: Iterable[Finding]) -> list[str]:
    """Findings as lines; topics with the same problem and remedy share a line."""
    lines: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        lines.setdefault((finding.problem, finding.remedy), []).append(finding.topic)
    return [f"{', '.join(names)}: {what}. {remedy}" for (what, remedy), names in lines.items()]


def find(
    found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec], settings: Settings
) -> list[Finding]:
    """Every difference between the topics that exist (`found`) and those that must (`specs`)."""
    shared = shared_count(found, specs)
    findings = []
    for name, spec in specs.items():
        state = found.get(name)
        if state is None:
            findings.append(_missing(name, spec, settings))
            continue
        findings += _differences(state, spec)
        findings += _wrong_partitions(state, partition_count(spec, shared), settings)
    if event_limit(found, specs) <= 0:
        findings.append(_too_small(found, specs))
    return findings


def shared_count(found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec]) -> int:
    """The partition count of the topics that share one; 0 if none of them exists.

    If they disagree, it is that of most of them; among equals the smallest, since partitions can be
    added to a topic but not taken away.
    """
    shared = [found[name] for name in found if specs[name].partitions is Partitions.SHARED]
    counts = Counter(state.partitions for state in shared)
    return max(counts, key=lambda count: (counts[count], -count), default=0)


def partition_count(spec: TopicSpec, shared: int) -> int | None:
    """How many partitions a topic must have, beside topics that share a count; None: any number."""
    return {Partitions.ONE: 1, Partitions.SHARED: shared, Partitions.FREE: None}[spec.partitions]


def other_count(topic: str, noted: int, shared: int) -> Finding:
    """The finding that the joiners' rows, in the topic `state`, were made for another count."""
    return Finding(
        topic,
        Severity.ERROR,
        f"its rows were made for {noted} partitions, and the topics have {shared}: runs lie in "
        "other partitions than their events would go to",
        "The count is fixed for life, and Kafka takes no partitions away: delete all topics that "
        "share it, with all that they hold, and run: countermand topics create --partitions "
        f"{shared}",
    )


def unknown_count(topic: str, reason: str) -> Finding:
    """The finding that this process may not read which count the joiners have noted."""
    return Finding(
        topic,
        Severity.WARNING,
        f"can't be read ({reason}): only joiners see whether it was made for as many partitions",
        "Give this user the right to read it",
    )


def _message_bytes(state: TopicState) -> int:
    return int(state.config["max.message.bytes"])


def event_limit(found: Mapping[str, TopicState], specs: Mapping[str, TopicSpec]) -> int:
    """The largest event, in bytes, whose records the topic with the smallest limit still takes."""
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


def _missing(name: str, spec: TopicSpec, settings: Settings) -> Finding:
    severity = Severity.WARNING if spec.optional else Severity.ERROR
    standard = name in {settings.topic(spec) for spec in topics.TOPICS}
    remedy = "Run: countermand topics create"
    if not standard:
        remedy = "Make it, or take it out of COUNTERMAND_INPUTS"
    return Finding(name, severity, "missing", remedy)


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


def _wrong_partitions(state: TopicState, expected: int | None, settings: Settings) -> list[Finding]:
    if expected in {None, state.partitions}:
        return []
    problem = f"{state.partitions} partitions, not {expected}"
    remedy = (
        "Delete it, with all that it holds, and make it anew: "
        f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers} "
        f"--delete --topic {state.name}; countermand topics create"
    )
    return [Finding(state.name, Severity.ERROR, problem, remedy)]
