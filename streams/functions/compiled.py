"""One version of a function, ready to register runs and to find what a cancel event may cancel.

Routers compute keys and listeners with it, joiners decide with it, so it knows neither Faust nor a
Kafka client. A key depends only on the slug, the cancel event's name and the paths, never on the
version or the place of a rule, so routers and joiners compute equal keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from streams import matching
from streams.errors import BudgetError, DefinitionError, EvaluationError, Problem
from topology import codec, limits
from topology.keys import MatchKeys, Path, scan_key
from topology.records import CancelRule, Definition, Function, Listener, Match, Trigger

Event: TypeAlias = matching.Document

# Values below this many bytes become a key in no time to speak of.
_LARGE_KEY: Final = 4_096
# Values of these types become a key in no time to speak of, too.
_SIMPLE: Final = frozenset({str, int, float, bool})
TRIGGER_VARIABLES: Final = frozenset({"event"})


class KeyKind:
    """A way in which runs and cancels meet under a key: values under paths of both events.

    Attributes:
        paths: Where the values lie in the cancel event. Kinds of the same function and cancel event
            with equal paths give equal keys.
        keys: Makes the key from canonical values.
        event_values: The values of a trigger event, None where one is missing or null.
        async_values: The values of a cancel event, None where one is missing or null.
    """

    __slots__ = ("async_values", "event_values", "keys", "paths")

    def __init__(self, slug: str, event: str, branch: matching.Branch) -> None:
        self.paths: tuple[Path, ...] = branch.async_paths
        self.keys = MatchKeys(slug, event, self.paths)
        self.event_values: matching.Extractor = matching.extractor(branch.event_paths)
        self.async_values: matching.Extractor = matching.extractor(self.paths)

    def run_key(self, event: Event, meter: matching.Meter) -> bytes | None:
        """Give the key under which a run of this event waits; None: no cancel can match (S14).

        Raises:
            BudgetError: Values so large take more than is left of the meter's total.
        """
        return _key(self.keys, self.event_values(event), meter)

    def cancel_key(self, event: Event, meter: matching.Meter) -> bytes | None:
        """Give the key under which this cancel event finds runs; None: none match (S14).

        Raises:
            BudgetError: Values so large take more than is left of the meter's total.
        """
        return _key(self.keys, self.async_values(event), meter)


class CompiledRule:
    """One cancel rule.

    Attributes:
        index: Its place in the function's `cancel_on`.
        event: The name of the cancel event.
        rule: As it was defined.
        early_cancel_ms: How far a cancel reaches beyond its own time (S12).
        kinds: One per `||` branch; empty where the rule must scan.
        scan_key: The key under which its runs wait if the rule must scan, else None.
        needs_evaluation: False where a run that waits under the key of a cancel matches it.
    """

    __slots__ = (
        "_evaluate",
        "early_cancel_ms",
        "event",
        "index",
        "kinds",
        "needs_evaluation",
        "rule",
        "scan_key",
    )

    def __init__(self, slug: str, index: int, rule: CancelRule) -> None:
        _check_scope(index, rule)
        text = rule.expression
        expression = None if text is None else matching.parse(text)
        branches = () if expression is None else expression.branches
        self.index = index
        self.event = rule.event
        self.rule = rule
        self.early_cancel_ms = rule.early_cancel_ms
        self.kinds = tuple(KeyKind(slug, rule.event, branch) for branch in branches)
        self.scan_key = None if self.kinds else scan_key(slug, rule.event)
        self.needs_evaluation = expression is not None and not expression.exact
        if expression is None:
            self._evaluate = None
        else:
            self._evaluate = expression.evaluate_rest if branches else expression.evaluate

    def until(self, received: int) -> int:
        """Give the last received time (ms) of cancels for a run received then (S13); 0: no end."""
        if self.rule.timeout_ms is not None:
            return received + self.rule.timeout_ms
        return self.rule.timeout_at or 0

    def listeners(self, event: Event, received: int, meter: matching.Meter) -> tuple[Listener, ...]:
        """Give the listeners of a run of this trigger event, one per key; see `run_key`."""
        until = self.until(received)
        if self.scan_key is not None:
            return (Listener(self.scan_key, self.index, until),)
        if len(self.kinds) == 1:
            key = self.kinds[0].run_key(event, meter)
            return () if key is None else (Listener(key, self.index, until),)
        keys = dict.fromkeys(kind.run_key(event, meter) for kind in self.kinds)
        return tuple(Listener(key, self.index, until) for key in keys if key is not None)

    def matches(self, event: Event, async_: Event, meter: matching.Meter) -> bool:
        """Give the verdict on a run's trigger event and a cancel event that met under a key.

        Raises:
            EvaluationError: There is no verdict: no match, which the caller counts (S16).
            BudgetError: It takes too much: no match, of which the caller tells (S37).
        """
        return self._evaluate is None or self._evaluate(event, async_, meter)


class CompiledFunction:
    """One version of a function.

    Attributes:
        slug: The function's name.
        version: Its number: the offset of its record.
        valid_from: The received time (ms) from which on it applies.
        function: As it was defined.
        definition: The record that command batches carry.
        rules: Its cancel rules, in their order.
        trigger_names: The names of the events that may trigger it.
        knows_identity: Whether its level tells events by their identity, not by their ids alone.
        waits_at_home: Whether each run has one listener at most: it is in the run's home.
    """

    __slots__ = (
        "_conditions",
        "_home_first",
        "definition",
        "function",
        "knows_identity",
        "rules",
        "slug",
        "trigger_names",
        "valid_from",
        "version",
        "waits_at_home",
    )

    def __init__(self, definition: Definition, function: Function, valid_from: int) -> None:
        self.slug = definition.slug
        self.version = definition.version
        self.valid_from = valid_from
        self.function = function
        self.knows_identity = function.semantics > 1
        self.definition = definition
        self.rules = tuple(
            CompiledRule(self.slug, index, rule) for index, rule in enumerate(function.cancel_on)
        )
        self.trigger_names = frozenset(trigger.event for trigger in function.triggers)
        self.waits_at_home = sum(max(1, len(rule.kinds)) for rule in self.rules) <= 1
        self._home_first = sorted(self.rules, key=lambda rule: rule.scan_key is not None)
        self._conditions = {
            name: _conditions(function.triggers, name) for name in self.trigger_names
        }

    def __repr__(self) -> str:
        return f"CompiledFunction({self.slug!r}, version {self.version})"

    def has_condition(self, event_name: str) -> bool:
        """Whether only some events of a name that may trigger it do."""
        return bool(self._conditions[event_name])

    def triggered_by(self, event: Event, meter: matching.Meter) -> bool:
        """Whether the event starts a run (S1).

        Raises:
            EvaluationError: No trigger's condition is true, and at least one is an error (S16).
            BudgetError: No trigger's condition is true, and at least one takes too much (S37).
        """
        conditions = self._conditions.get(event["name"])
        if conditions is None:
            return False
        return not conditions or _any_true(conditions, event, meter)

    def listeners(self, event: Event, received: int, meter: matching.Meter) -> tuple[Listener, ...]:
        """Give the listeners of a run of this trigger event, over all rules.

        Listeners with an equality come first: the key of the first is the run's home key. Those of
        rules that scan wait at home.

        Raises:
            BudgetError: Match values so large take more than is left of the meter's total.
        """
        listeners: list[Listener] = []
        for rule in self._home_first:
            listeners += rule.listeners(event, received, meter)
        return tuple(listeners)


def compile_definition(definition: Definition, valid_from: int = 0) -> CompiledFunction:
    """Compile a version; callers keep the result, since this may take some milliseconds.

    Raises:
        CodecError: The body is not a function.
        ExpressionError: This release can't read one of its expressions.
        DefinitionError: A rule has no single scope, or the body is another function's.
    """
    function = codec.decode_function(definition.body)
    if function.slug != definition.slug:
        raise DefinitionError(
            [Problem(("id",), f"{function.slug} is defined under the name {definition.slug}")]
        )
    return CompiledFunction(definition, function, valid_from)


class Lookup(NamedTuple):
    """How cancel events find runs by one kind of key, over all rules that share it.

    `hold_ms` is how long a cancel is held, `dedupes` are the rules' different dedupe times (ms).
    """

    kind: KeyKind
    hold_ms: int
    dedupes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CancelMatcher:
    """What events of one name may cancel of a function, over all of its kept versions.

    Attributes:
        kinds: The distinct ways to compute a key.
        scan: The match that asks every partition, if a version has a rule that must scan.
    """

    kinds: tuple[Lookup, ...]
    scan: Match | None

    def matches(self, event: Event, meter: matching.Meter) -> tuple[Match, ...]:
        """Give the keys under which the event may find runs.

        Raises:
            BudgetError: Match values so large take more than is left of the meter's total.
        """
        matches = [] if self.scan is None else [self.scan]
        for kind, hold_ms, dedupes in self.kinds:
            key = kind.cancel_key(event, meter)
            if key is not None:
                matches.append(Match(key, hold_ms, dedupes=dedupes))
        return tuple(matches)


def cancel_matchers(versions: Iterable[CompiledFunction]) -> dict[str, CancelMatcher]:
    """Give what cancel events may cancel of a function, by their name, for its kept versions.

    Runs keep the version that they were registered with, so the rules of every kept version count.
    Most versions share their keys, which don't depend on the version.
    """
    rules: dict[str, list[CompiledRule]] = {}
    for version in versions:
        for rule in version.rules:
            rules.setdefault(rule.event, []).append(rule)
    return {name: _matcher(named) for name, named in rules.items()}


def _key(keys: MatchKeys, values: matching.Values | None, meter: matching.Meter) -> bytes | None:
    if values is None:
        return None
    for value in values:
        if type(value) not in _SIMPLE:
            meter.check_total()
            break
    try:
        data = matching.canonical(values)
    except EvaluationError:
        # A value is nested deeper than values are compared: it equals none, so has no key.
        meter.charge_total(limits.NO_KEY_COST)
        return None
    if len(data) > _LARGE_KEY:
        meter.charge_total(len(data) * limits.KEY_BYTE_COST)
    return keys.key(data)


def _matcher(rules: list[CompiledRule]) -> CancelMatcher:
    kinds: dict[tuple[Path, ...], Lookup] = {}
    scan = None
    for rule in rules:
        if rule.scan_key is not None:
            dedupes = _dedupes(() if scan is None else scan.dedupes, rule)
            scan = Match(rule.scan_key, 0, everywhere=True, dedupes=dedupes)
        for kind in rule.kinds:
            found = kinds.get(kind.paths, Lookup(kind, 0, ()))
            hold_ms = max(found.hold_ms, rule.early_cancel_ms)
            kinds[kind.paths] = Lookup(kind, hold_ms, _dedupes(found.dedupes, rule))
    return CancelMatcher(tuple(kinds.values()), scan)


def _dedupes(known: tuple[int, ...], rule: CompiledRule) -> tuple[int, ...]:
    dedupe_ms = rule.rule.dedupe_ms
    return known if not dedupe_ms or dedupe_ms in known else (*known, dedupe_ms)


def _check_scope(index: int, rule: CancelRule) -> None:
    if (rule.match is not None) + (rule.if_ is not None or rule.all_runs) != 1:
        message = "a rule has exactly one of match, if and all_runs: true, or the last two"
        raise DefinitionError([Problem(("cancel_on", index), message)])


def _conditions(triggers: Iterable[Trigger], name: str) -> tuple[matching.Expression, ...]:
    """Give the conditions for one event name, of which one must be true; empty: no condition."""
    texts = [trigger.if_ for trigger in triggers if trigger.event == name]
    if None in texts:
        return ()
    return tuple(matching.parse(text, TRIGGER_VARIABLES) for text in texts if text is not None)


def _any_true(
    conditions: tuple[matching.Expression, ...], event: Event, meter: matching.Meter
) -> bool:
    failed: EvaluationError | BudgetError | None = None
    for condition in conditions:
        try:
            if condition.evaluate(event, None, meter):
                return True
        except EvaluationError as error:
            failed = failed or error
        except BudgetError as error:
            failed = error
    if failed is not None:
        raise failed
    return False
