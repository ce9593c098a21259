"""Lets cancel events meet runs: under a match key, then at each run's home (S6 to S13)."""

from collections.abc import Iterator

from streams.errors import BudgetError, EvaluationError
from streams.functions.compiled import CompiledRule
from streams.joiner.decide import firsts, runs
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Refused, View
from topology import codec, held_rows, keys, tables
from topology.held_rows import HeldCancel, HeldMatch
from topology.records import EVALUATION_BUDGET, CancelEvent, ForwardedCancel, ForwardedMatch, Match
from topology.statuses import Cause
from topology.tables import EventRow, FanOutRow, PostponedCancel


def cancel(view: View, event: CancelEvent, matches: tuple[Match, ...]) -> None:
    """Let a cancel event meet the runs that wait under its keys; hold it for later ones (S11).

    What is more than this transaction's share goes on as a work row (S39). The event is looked up
    under all its keys before, so that no repeat overtakes what goes on later.
    """
    events = [firsts.looked_up(view, event, match) for match in matches]
    for number, match in enumerate(matches):
        if view.is_full():
            _postpone(view, PostponedCancel(event, matches[number:]))
            return
        _meet_listeners(view, events[number], match)


def _meet_listeners(view: View, event: CancelEvent, match: Match) -> None:
    cursor = fan_out_slice(view, event, match.key, b"")
    if cursor is not None:
        key = tables.fan_out_key(match.key, event)
        view.put(key, codec.FAN_OUT_ROWS.encode(FanOutRow(event, cursor)))
        view.count("fan_outs")
    until = event.received + match.hold_ms
    if not view.passed(until):
        held = codec.HELD_ROWS.encode(HeldCancel(event, match.hold_ms))
        view.put(held_rows.held_cancel_key(match.key, until, event), held)


def spread(view: View, event: CancelEvent, matches: tuple[Match, ...], target: int = 0) -> None:
    """Let a cancel event meet its matches in all partitions from the number `target` on."""
    by_partition: dict[int, list[Match]] = {}
    for match in matches:
        everywhere = range(view.partitions) if match.everywhere else ()
        for there in everywhere or (keys.partition_of_key(match.key, view.partitions),):
            by_partition.setdefault(there, []).append(match)
    for there in sorted(by_partition):
        if there < target:
            continue
        if view.is_full():
            _postpone(view, PostponedCancel(event, matches, there))
            return
        if there == view.partition:
            cancel(view, event, tuple(by_partition[there]))
        else:
            view.forward(there, ForwardedCancel(event, tuple(by_partition[there])))


def go_on(view: View, key: bytes, row: PostponedCancel) -> None:
    """Do the next slice of a cancel event with matches that it has yet to meet."""
    view.put(key, None)
    if row.target < 0:
        cancel(view, row.cancel, row.matches)
    else:
        spread(view, row.cancel, row.matches, row.target)


def _postpone(view: View, row: PostponedCancel) -> None:
    view.put(tables.postponed_key(row), codec.WORK_ROWS.encode(row))
    view.count("postponed_cancels")


def fan_out_slice(view: View, event: CancelEvent, match_key: bytes, cursor: bytes) -> bytes | None:
    """Let a cancel event meet the next listeners under a key; the new cursor, or None at the end.

    A slice is bounded by decisions, bytes and cost, so that other commands don't wait for it.
    """
    away: dict[int, list[tuple[bytes, int]]] = {}
    full = False
    for done, (key, _) in enumerate(view.scan(tables.LISTENERS + match_key, cursor)):
        forwarded = len(away) * len(event.event)
        if done >= view.bounds.slice_decisions or view.is_full(forwarded):
            full = True
            break
        run_id, rule = key[tables.LISTENER_RUN], key[tables.LISTENER_RULE]
        home = keys.partition_of_run(run_id, view.partitions)
        if home == view.partition:
            match_run(view, event, run_id, rule)
        else:
            away.setdefault(home, []).append((run_id, rule))
        cursor = key
    for home, hits in away.items():
        view.forward(home, ForwardedMatch(event, tuple(hits)))
    return cursor if full else None


def held_cancels(
    view: View, match_key: bytes, cursor: bytes = b""
) -> Iterator[tuple[bytes, CancelEvent]]:
    """The cancel events held under a key, beyond the key `cursor`, by their keys (S11)."""
    for key, value in view.held(tables.HELD_CANCELS + match_key, cursor):
        held = codec.HELD_ROWS.decode(value)
        assert isinstance(held, HeldCancel)
        yield key, held.cancel


def match_run(view: View, event: CancelEvent, run_id: bytes, rule: int) -> None:
    """At a run's home: cancel the run if the event matches; hold the match if the run may come."""
    run = runs.load(view, run_id)
    if run is None:
        if not view.passed(keys.received_ms(run_id)):
            _hold(view, event, run_id, rule)
        return
    decide_match(view, event, run, rule)


def decide_match(view: View, event: CancelEvent, run: Run, rule: int) -> None:
    """Cancel a run if the event matches it by the rule of that index."""
    if run.ended:
        view.count("matches_ignored")
        return
    compiled = view.function(run.event.slug, run.event.version)
    if rule >= len(compiled.rules):
        _unanswered(view, run, rule, "its version can't be used")
        return
    if _matches(view, event, run, compiled.rules[rule]):
        runs.cancel(view, run, Cause.EVENT, _cause(view, event, run, compiled.rules[rule]))
        if event.own_received is not None:
            view.delayed(event.own_received)


def _hold(view: View, event: CancelEvent, run_id: bytes, rule: int) -> None:
    key = held_rows.held_match_key(run_id, event)
    value = view.get(key)
    rules: tuple[int, ...] = (rule,)
    if value is not None:
        held = codec.HELD_ROWS.decode(value)
        assert isinstance(held, HeldMatch)
        rules = (*held.rules, rule) if rule not in held.rules else held.rules
    view.put(key, codec.HELD_ROWS.encode(HeldMatch(event, rules)))


def _matches(view: View, event: CancelEvent, run: Run, rule: CompiledRule) -> bool:
    """Whether a cancel event matches a run: by times, positions and identity (S9, S10, S12, S13).

    Then by the rule's expression, unless equal keys are already the answer.
    """
    until = rule.until(run.event.received)
    if until and event.received > until:
        return False
    if not _in_time(firsts.counted(event, rule), run.event, rule.early_cancel_ms):
        return False
    if _has_triggered(view, event, run.event):
        return False
    if not rule.needs_evaluation:
        return True
    ours, theirs = view.parsed(run.event.event), view.parsed(event.event)
    try:
        return rule.matches(ours, theirs, view.meter)
    except (EvaluationError, BudgetError) as error:
        _unanswered(view, run, rule.index, str(error))
        if isinstance(error, BudgetError):
            _refuse(view, event, run.event.slug, f"cancel_on[{rule.index}]: {error}")
        return False


def _has_triggered(view: View, event: CancelEvent, run: EventRow) -> bool:
    """Whether a run's trigger event is this one, or one of its repeats (S10)."""
    if run.identity and event.identity:
        return run.identity == event.identity
    return keys.event_key(run.slug, str(view.parsed(event.event)["id"])) == run.event_key


def _unanswered(view: View, run: Run, rule: int, error: str) -> None:
    """Count that a rule has no answer for a run: no match (S16)."""
    view.count("evaluation_errors")
    view.evaluation_errors.append((run.event.slug, rule, error))


def _refuse(view: View, event: CancelEvent, slug: str, error: str) -> None:
    """Make a cancel event a dead letter, once for each function whose rule takes too much (S37)."""
    key = held_rows.refused_cancel_key(slug, event)
    if view.get(key) is None:
        view.put(key, tables.NOTED)
        view.refuse(
            Refused(event.at, event.event, event.identity, EVALUATION_BUDGET, f"{slug}: {error}")
        )


def _in_time(cancel: CancelEvent, run: EventRow, early_cancel_ms: int) -> bool:
    """Whether a run was received before a cancel (S9), or soon enough after it (S12)."""
    if early_cancel_ms and run.received <= cancel.received + early_cancel_ms:
        return True
    ours, theirs = run.position, cancel.position
    if ours.topic_id == theirs.topic_id and ours.partition == theirs.partition:
        return ours.offset < theirs.offset
    if cancel.triggers:
        mine = (run.received, ours.topic, ours.partition, ours.offset)
        return mine < (cancel.received, theirs.topic, theirs.partition, theirs.offset)
    return run.received <= cancel.received


def _cause(view: View, event: CancelEvent, run: Run, rule: CompiledRule) -> bytes:
    """Why runs are cancelled by an event; of many that it cancels by a rule all have the same."""
    of_event, of_rule, cause = view.last_cause
    if of_event is not event or of_rule is not rule:
        cause = _made_cause(view, event, run, rule)
        view.last_cause = event, rule, cause
    return cause


def _made_cause(view: View, event: CancelEvent, run: Run, rule: CompiledRule) -> bytes:
    parsed = view.parsed(event.event)
    return runs.cause(
        Cause.EVENT,
        event={
            "id": parsed["id"],
            "name": parsed["name"],
            "topic": event.at.topic,
            "partition": event.at.partition,
            "offset": event.at.offset,
            "ts": parsed["ts"],
            "received": event.own_received,
        },
        rule={
            "index": rule.index,
            "version": run.event.version,
            "expression": rule.rule.expression,
        },
    )
