"""Which runs cancel events cancel, by the letter of S1, S3, S6 to S17 and S36, and in no hurry.

It sees the whole list of events at once, so it needs no keys, no holding and no watermark.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from streams import matching
from streams.errors import EvaluationError
from topology.records import CancelRule, Function

RunName: TypeAlias = tuple[str, str]
Document: TypeAlias = dict[str, Any]
Evaluate: TypeAlias = Callable[[str, Document, Document | None], bool]


class Occurrence(NamedTuple):
    """One event where it lies; a producer's repeat is another occurrence of the same event id."""

    received: int
    topic: str
    partition: int
    offset: int
    event: Document


def reference(expression: str, event: Document, async_: Document | None) -> bool:
    """The reference's answer (S17); none is no match (S16)."""
    try:
        return matching.parse(expression).reference(event, async_, matching.Meter.off())
    except EvaluationError:
        return False


def compiled(expression: str, event: Document, async_: Document | None) -> bool:
    """The same answer at a hundredth of the time, as properties/test_matching.py shows."""
    try:
        return matching.parse(expression).evaluate(event, async_, matching.Meter.off())
    except EvaluationError:
        return False


def runs(
    functions: Iterable[Function], occurrences: Iterable[Occurrence], evaluate: Evaluate = reference
) -> dict[RunName, Occurrence]:
    """The runs by function and event id, each with the first occurrence of its event (S1, S3)."""
    found: dict[RunName, Occurrence] = {}
    for function in functions:
        for one in sorted(occurrences, key=lambda one: one[:4]):
            for trigger in function.triggers:
                if trigger.event == one.event["name"] and (
                    trigger.if_ is None or evaluate(trigger.if_, one.event, None)
                ):
                    found.setdefault((function.slug, one.event["id"]), one)
    return found


def cancelled(
    functions: Iterable[Function], occurrences: Iterable[Occurrence], evaluate: Evaluate = reference
) -> set[RunName]:
    """The runs that some event cancels."""
    started = runs(functions, occurrences, evaluate)
    by_name: dict[str, list[Occurrence]] = {}
    for one in occurrences:
        by_name.setdefault(one.event["name"], []).append(one)
    return {
        (function.slug, event_id)
        for function in functions
        for (slug, event_id), run in started.items()
        if slug == function.slug
        for rule in function.cancel_on
        for one, first in _firsts(rule, by_name.get(rule.event, ()))
        if _in_time(rule, run, first, started.get((slug, one.event["id"])))
        and (rule.expression is None or evaluate(rule.expression, run.event, one.event))
    }


def _firsts(
    rule: CancelRule, cancels: Iterable[Occurrence]
) -> Iterator[tuple[Occurrence, Occurrence]]:
    """Each cancel event with the occurrence as which it counts: of repeats the first one (S36).

    Repeats of an event lie in one partition, so that they are applied in their order.
    """
    firsts: dict[str, Occurrence] = {}
    for one in sorted(cancels, key=lambda one: one[:4]):
        same = json.dumps([one.event["name"], one.event["id"], one.event["data"]], sort_keys=True)
        first = firsts.get(same)
        if first is None or one.received - first.received >= rule.dedupe_ms:
            first = firsts[same] = one
        yield one, first


def _in_time(rule: CancelRule, run: Occurrence, cancel: Occurrence, own: Occurrence | None) -> bool:
    """S9, S10, S12 and S13; `own`: where the cancel's own run of the function was triggered."""
    first = own or cancel  # a repeat of a trigger does what its first occurrence could
    until = rule.timeout_at or (run.received + rule.timeout_ms if rule.timeout_ms else None)
    if cancel.event["id"] == run.event["id"] or (until is not None and first.received > until):
        return False
    before = run.received <= first.received
    if run[1:3] == first[1:3]:
        before = run.offset < first.offset
    elif own is not None:
        before = run[:4] < first[:4]
    early = rule.early_cancel_ms and run.received <= first.received + rule.early_cancel_ms
    return before or bool(early)
