"""Why a cancel event cancels a run or doesn't, rule by rule, as joiners decide (S6 to S16)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec
import orjson

from streams import matching
from streams.durations import format_duration, format_instant
from streams.errors import BudgetError, EvaluationError
from streams.functions.changes import path_text
from streams.functions.compiled import (
    CompiledFunction,
    CompiledRule,
    Event,
    KeyKind,
    compile_definition,
)
from streams.functions.definition import read_stored
from topology import codec
from topology.keys import Path
from topology.records import Definition, Json

_SHOWN_CHARS: Final = 120


class Why(StrEnum):
    """Why an event doesn't cancel a run by a rule."""

    OTHER_NAME = "other_name"
    RUN_ENDED = "run_ended"
    OWN_EVENT = "own_event"
    REPEAT = "repeat"
    TOO_LATE = "too_late"
    KEYS_DIFFER = "keys_differ"
    FALSE = "expression_false"
    NO_ANSWER = "expression_error"


@dataclass(frozen=True, slots=True)
class First:
    """Where the first occurrence of a cancel event lies, and when it was received (ms)."""

    received: int
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The run in question: its trigger event, when that was received (ms), whether it ended."""

    event: Event
    received: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class KeyValue:
    """An equality of a rule: the paths in both events, and the value that the run waits for.

    `value` is None if it is missing or null in the run's event: the equality is never true (S14).
    """

    event_path: str
    async_path: str
    value: Json


@dataclass(frozen=True, slots=True)
class ListeningRule:
    """A rule of a run, with what the run waits for.

    Attributes:
        index: Its place in `cancel_on`.
        event: The name of the cancel event.
        expression: Over both events; None where it cancels every run.
        keys: Per `||` branch, the equalities by which a cancel finds the run; empty: by a scan.
        can_match: Whether an event can match at all: the run's event has a value for every
            equality of a branch.
        until: The last received time (ms) of cancels that can match; None: no such limit.
    """

    index: int
    event: str
    expression: str | None
    keys: tuple[tuple[KeyValue, ...], ...]
    can_match: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason why a rule doesn't match, as a word and as a sentence."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule matches a cancel event: it does if there are no reasons against it."""

    index: int
    reasons: tuple[Reason, ...]

    @property
    def matches(self) -> bool:
        """Whether the event cancels the run by this rule."""
        return not self.reasons


def compile_version(
    slug: str, version: int, definition: Mapping[str, Json], semantics: int
) -> CompiledFunction:
    """Compile a stored version from its definition as people write it, of a level.

    Raises:
        DefinitionError: It has every wrong field.
    """
    function = msgspec.structs.replace(read_stored(definition), semantics=semantics)
    return compile_definition(Definition(slug, version, codec.encode_function(function)))


def listening(function: CompiledFunction, run: Subject) -> tuple[ListeningRule, ...]:
    """Give what a run waits for, by each of its rules."""
    return tuple(_listening(rule, run) for rule in function.rules)


def judge(
    function: CompiledFunction,
    run: Subject,
    cancel: Event,
    received: int,
    firsts: Mapping[int, First] = MappingProxyType({}),
) -> tuple[Verdict, ...]:
    """Give the verdict of each rule of a run on a cancel event received (ms) after the run.

    For rules with `dedupe`, by their index, `firsts` has the occurrence that the event repeats.
    """
    verdicts = []
    own = _is_own_event(function, run.event, cancel)
    for rule in function.rules:
        if cancel["name"] != rule.event:
            text = f"the event is {cancel['name']}, the rule is for {rule.event}"
            reasons: tuple[Reason, ...] = (Reason(Why.OTHER_NAME, text),)
        else:
            reasons = _reasons(rule, run, cancel, received, firsts.get(rule.index))
            if own:
                text = "an event never cancels the run that it triggered"
                reasons = (Reason(Why.OWN_EVENT, text), *reasons)
        verdicts.append(Verdict(rule.index, reasons))
    return tuple(verdicts)


def _listening(rule: CompiledRule, run: Subject) -> ListeningRule:
    keys = [kind.run_key(run.event, matching.Meter()) for kind in rule.kinds]
    return ListeningRule(
        index=rule.index,
        event=rule.event,
        expression=rule.rule.expression,
        keys=tuple(_key_values(branch, run.event) for branch in _branches(rule)),
        can_match=rule.scan_key is not None or any(key is not None for key in keys),
        until=rule.until(run.received) or None,
    )


def _branches(rule: CompiledRule) -> tuple[matching.Branch, ...]:
    text = rule.rule.expression
    return () if text is None else matching.parse(text).branches


def _key_values(branch: matching.Branch, event: Event) -> tuple[KeyValue, ...]:
    return tuple(
        KeyValue(_named("event", ours), _named("async", theirs), _value(ours, event))
        for ours, theirs in branch.pairs
    )


def _named(event: str, path: Path) -> str:
    text = path_text(path)
    return event + (text if text.startswith("[") else f".{text}")


def _value(path: Path, event: Event) -> Json:
    values = matching.values((path,), event)
    return None if values is None else values[0]


def _is_own_event(function: CompiledFunction, event: Event, cancel: Event) -> bool:
    """Whether a cancel event is the one that triggered a run, as the function's level tells."""
    if event["id"] != cancel["id"]:
        return False
    if not function.knows_identity:
        return True
    return bool(event["name"] == cancel["name"]) and _source(event) == _source(cancel)


def _source(event: Event) -> Json:
    attributes = event.get("cloudevent")
    return attributes.get("source") if isinstance(attributes, dict) else None


def _reasons(
    rule: CompiledRule, run: Subject, cancel: Event, received: int, first: First | None
) -> tuple[Reason, ...]:
    """Give what stands against a match with an event of the rule's name."""
    reasons = []
    if run.ended:
        reasons.append(Reason(Why.RUN_ENDED, "the run has ended"))
    counted = received if first is None else first.received
    until = rule.until(run.received)
    if until and received > until:
        reasons.append(Reason(Why.TOO_LATE, f"the rule listened until {format_instant(until)}"))
    if first is not None and run.received > counted + rule.early_cancel_ms:
        reasons.append(Reason(Why.REPEAT, _repeat(rule, cancel, first)))
    against = _against(rule, run.event, cancel)
    return (*reasons, against) if against is not None else tuple(reasons)


def _repeat(rule: CompiledRule, cancel: Event, first: First) -> str:
    return (
        f"{cancel['id']} came before, at {format_instant(first.received)} ({first.topic}, "
        f"partition {first.partition}, {first.offset}), and the rule takes what comes within "
        f"{format_duration(rule.rule.dedupe_ms)} of that for repeats (dedupe): they cancel only "
        "what the first could"
    )


def _against(rule: CompiledRule, event: Event, cancel: Event) -> Reason | None:
    """Give why the rule's expression isn't true, looking at keys first as the index does."""
    if rule.kinds and not any(_meet(kind, event, cancel) for kind in rule.kinds):
        texts = [_differing(branch, event, cancel) for branch in _branches(rule)]
        return Reason(Why.KEYS_DIFFER, "; or ".join(texts))
    if not rule.needs_evaluation:
        return None
    try:
        if rule.matches(event, cancel, matching.Meter()):
            return None
    except (EvaluationError, BudgetError) as error:
        return Reason(Why.NO_ANSWER, f"the expression has no answer: {error}")
    return Reason(Why.FALSE, f"the expression is false: {rule.rule.expression}")


def _meet(kind: KeyKind, event: Event, cancel: Event) -> bool:
    meter = matching.Meter()
    key = kind.run_key(event, meter)
    return key is not None and key == kind.cancel_key(cancel, meter)


def _differing(branch: matching.Branch, event: Event, cancel: Event) -> str:
    """Write out the equalities of a branch that aren't true, with the values of both sides."""
    texts = []
    for ours, theirs in branch.pairs:
        left, right = _value(ours, event), _value(theirs, cancel)
        if not _equal(left, right):
            sides = ((_named("event", ours), left), (_named("async", theirs), right))
            texts.append(" but ".join(f"{name} is {_shown(value)}" for name, value in sides))
    return ", ".join(texts)


def _equal(left: Json, right: Json) -> bool:
    if left is None or right is None:
        return False
    try:
        return matching.canonical((left,)) == matching.canonical((right,))
    except EvaluationError:
        return False


def _shown(value: Json) -> str:
    if value is None:
        return "missing or null"
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
