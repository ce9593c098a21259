"""Why a cancel event cancels a run, or doesn't: rule by rule, as joiners decide it (S6 to S16)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from streams import matching
from streams.durations import format_instant
from streams.errors import EvaluationError
from streams.functions.changes import path_text
from streams.functions.compiled import (
    CompiledFunction,
    CompiledRule,
    Event,
    KeyKind,
    compile_definition,
)
from streams.functions.definition import read_function
from topology import codec
from topology.keys import Path
from topology.records import Definition, Json

_SHOWN_CHARS: Final = 120


class Why(StrEnum):
    """Why an event doesn't cancel a run by a rule."""

    OTHER_NAME = "other_name"
    RUN_ENDED = "run_ended"
    OWN_EVENT = "own_event"
    TOO_LATE = "too_late"
    KEYS_DIFFER = "keys_differ"
    FALSE = "expression_false"
    NO_ANSWER = "expression_error"


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that is asked about: its trigger event, when that was received, whether it ended."""

    event: Event
    received: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One equality of a rule: the paths in both events, and the value that the run waits for.

    `value` is None where the run's event has none there: then the equality is never true (S14).
    """

    event_path: str
    async_path: str
    value: Json


@dataclass(frozen=True, slots=True)
class ListeningRule:
    """A rule of one run.

    Attributes:
        index: Its place in `cancel_on`.
        event: The name of the cancel event.
        expression: Over both events; None where it cancels every run.
        keys: Per `||` branch, the equalities by which a cancel finds the run; none: it is scanned.
        can_match: Whether any event can match: the run's event has a value for every equality of
            one branch.
        until: The last received time of a cancel that can match; None: while the run is unfinished.
    """

    index: int
    event: str
    expression: str | None
    keys: tuple[tuple[KeyValue, ...], ...]
    can_match: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against, as a word and as a sentence."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says to one cancel event: it matches unless there are reasons against it."""

    index: int
    reasons: tuple[Reason, ...]

    @property
    def matches(self) -> bool:
        """Whether the event cancels the run by this rule."""
        return not self.reasons


def compile_version(slug: str, version: int, definition: Mapping[str, Json]) -> CompiledFunction:
    """One version of a function from its definition as people write it.

    Raises:
        DefinitionError: It is none.
    """
    body = codec.encode_function(read_function(definition))
    return compile_definition(Definition(slug, version, body))


def listening(function: CompiledFunction, run: Subject) -> tuple[ListeningRule, ...]:
    """What a run waits for, by each of its rules."""
    return tuple(_listening(rule, run) for rule in function.rules)


def judge(
    function: CompiledFunction, run: Subject, cancel: Event, received: int
) -> tuple[Verdict, ...]:
    """What each rule of a run says to a cancel event received at some time after the run."""
    return tuple(
        Verdict(rule.index, _reasons(rule, run, cancel, received)) for rule in function.rules
    )


def _listening(rule: CompiledRule, run: Subject) -> ListeningRule:
    found = [kind.run_key(run.event) for kind in rule.kinds]
    return ListeningRule(
        index=rule.index,
        event=rule.event,
        expression=rule.rule.expression,
        keys=tuple(_key_values(branch, run.event) for branch in _branches(rule)),
        can_match=rule.scan_key is not None or any(key is not None for key in found),
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
    found = matching.values((path,), event)
    return None if found is None else found[0]


def _reasons(rule: CompiledRule, run: Subject, cancel: Event, received: int) -> tuple[Reason, ...]:
    if cancel["name"] != rule.event:
        text = f"the event is {cancel['name']}, the rule is for {rule.event}"
        return (Reason(Why.OTHER_NAME, text),)
    found = []
    if run.ended:
        found.append(Reason(Why.RUN_ENDED, "the run has ended"))
    if cancel["id"] == run.event["id"]:
        found.append(Reason(Why.OWN_EVENT, "an event never cancels the run that it triggered"))
    until = rule.until(run.received)
    if until and received > until:
        found.append(Reason(Why.TOO_LATE, f"the rule listened until {format_instant(until)}"))
    against = _against(rule, run.event, cancel)
    return (*found, against) if against is not None else tuple(found)


def _against(rule: CompiledRule, event: Event, cancel: Event) -> Reason | None:
    """What the rule's expression says against the event: its keys first, as the index does."""
    if rule.kinds and not any(_meet(kind, event, cancel) for kind in rule.kinds):
        each = [_differing(branch, event, cancel) for branch in _branches(rule)]
        return Reason(Why.KEYS_DIFFER, "; or ".join(each))
    if not rule.needs_evaluation:
        return None
    try:
        if rule.matches(event, cancel):
            return None
    except EvaluationError as error:
        return Reason(Why.NO_ANSWER, f"the expression has no answer: {error}")
    return Reason(Why.FALSE, f"the expression is false: {rule.rule.expression}")


def _meet(kind: KeyKind, event: Event, cancel: Event) -> bool:
    key = kind.run_key(event)
    return key is not None and key == kind.cancel_key(cancel)


def _differing(branch: matching.Branch, event: Event, cancel: Event) -> str:
    """The equalities of a branch that aren't true, with the values of both sides."""
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
