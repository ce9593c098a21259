"""Rule by rule: what a run waits for, and what each rule says to an event."""

from typing import Any

import pytest

from streams.errors import DefinitionError
from streams.functions.compiled import CompiledFunction
from streams.functions.explain import First, Subject, Why, compile_version, judge, listening
from topology.records import SEMANTICS

RECEIVED = 1_000_000_000_000
NOW = RECEIVED + 60_000
HOUR = 3_600_000


def function(*rules: dict[str, Any], semantics: int = SEMANTICS) -> CompiledFunction:
    """A version of the function shop-ship with these rules."""
    definition = {
        "id": "ship",
        "app": "shop",
        "triggers": [{"event": "order/placed"}],
        "cancel_on": list(rules),
    }
    return compile_version("shop-ship", 7, definition, semantics)


def subject(ended: bool = False, **data: Any) -> Subject:
    """A run of an event with this data."""
    event = {"name": "order/placed", "data": data, "id": "placed-1", "ts": RECEIVED}
    return Subject(event, RECEIVED, ended)


def cancel(name: str = "order/dropped", id_: str = "dropped-1", **data: Any) -> dict[str, Any]:
    """A cancel event with this data."""
    return {"name": name, "data": data, "id": id_, "ts": NOW}


def reasons(
    rule: dict[str, Any], run: Subject, event: dict[str, Any], at: int = NOW
) -> dict[Why, str]:
    """The reasons why a rule doesn't match an event."""
    (verdict,) = judge(function({"event": "order/dropped"} | rule), run, event, at)
    assert verdict.matches is not bool(verdict.reasons)
    return {one.why: one.text for one in verdict.reasons}


MATCH = {"match": "data.id"}
ANY_OF_TWO = {"if": "event.data.id == async.data.id || event.data.user == async.data.user"}
FLAGGED = {"if": "event.data.id == async.data.id && async.data.hard"}


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        (MATCH, {"id": 1}),
        (MATCH, {"id": 1.0}),
        (ANY_OF_TWO, {"id": 2, "user": "ann"}),
        (FLAGGED, {"id": 1, "hard": True}),
        ({"if": "async.data.id > event.data.id"}, {"id": 2}),
        ({"all_runs": True}, {}),
    ],
)
def test_a_rule_that_matches_has_nothing_against(
    rule: dict[str, Any], data: dict[str, Any]
) -> None:
    """Rules match by keys, by any branch, by further conditions, by a scan, or for all runs."""
    assert reasons(rule, subject(id=1, user="ann"), cancel(**data)) == {}


@pytest.mark.parametrize(
    ("rule", "data", "why", "text"),
    [
        (MATCH, {"id": 2}, Why.KEYS_DIFFER, "event.data.id is 1 but async.data.id is 2"),
        (MATCH, {"id": "1"}, Why.KEYS_DIFFER, 'event.data.id is 1 but async.data.id is "1"'),
        (MATCH, {"id": None}, Why.KEYS_DIFFER, "async.data.id is missing or null"),
        ({"match": "data.gone"}, {"gone": 1}, Why.KEYS_DIFFER, "event.data.gone is missing"),
        (ANY_OF_TWO, {"id": 2, "user": "bob"}, Why.KEYS_DIFFER, '; or event.data.user is "ann"'),
        (FLAGGED, {"id": 1, "hard": False}, Why.FALSE, "the expression is false: event.data.id"),
        (FLAGGED, {"id": 1}, Why.NO_ANSWER, "the expression has no answer: "),
        (FLAGGED, {"id": 2}, Why.KEYS_DIFFER, "async.data.id is 2"),
    ],
)
def test_what_an_expression_has_against(
    rule: dict[str, Any], data: dict[str, Any], why: Why, text: str
) -> None:
    """Both sides' values are shown; the expression is evaluated only if the keys are equal."""
    found = reasons(rule, subject(id=1, user="ann"), cancel(**data))
    assert list(found) == [why]
    assert text in found[why]


def test_only_the_equality_that_fails_is_told() -> None:
    """Of two equalities that must both hold, the true one is no reason."""
    rule = {"if": "event.data.id == async.data.id && event.data.user == async.data.user"}
    found = reasons(rule, subject(id=1, user="ann"), cancel(id=1, user="bob"))
    assert found[Why.KEYS_DIFFER] == 'event.data.user is "ann" but async.data.user is "bob"'


def test_another_name_is_the_only_reason_there_is() -> None:
    """For an event of another name the rest of the rule is not looked at."""
    found = reasons(MATCH, subject(ended=True, id=1), cancel("order/lost", id=2))
    assert found == {Why.OTHER_NAME: "the event is order/lost, the rule is for order/dropped"}


def test_every_reason_is_told() -> None:
    """An ended run, the run's own event and a timeout don't hide what the keys say."""
    rule = MATCH | {"timeout": "1h", "event": "order/placed"}
    event = cancel(id_="placed-1", id=2) | {"name": "order/placed"}
    found = reasons(rule, subject(ended=True, id=1), event, RECEIVED + HOUR + 1)
    assert list(found) == [Why.OWN_EVENT, Why.RUN_ENDED, Why.TOO_LATE, Why.KEYS_DIFFER]
    assert found[Why.TOO_LATE] == "the rule listened until 2001-09-09T02:46:40Z"


def test_a_timeout_s_last_ms_still_matches() -> None:
    """S13: a cancel received exactly at the timeout matches, a later one doesn't."""
    rule = MATCH | {"timeout": "1h"}
    assert reasons(rule, subject(id=1), cancel(id=1), RECEIVED + HOUR) == {}


def test_what_a_run_waits_for() -> None:
    """It shows keys with the run's values, until when it listens, and whether any can match."""
    own = function(
        {"event": "a", "match": "data.id", "timeout": "1h"},
        {"event": "b", "match": "data.gone"},
        {"event": "c", "if": "async.data.hard == true"},
        {"event": "d", "all_runs": True},
        {"event": "e"} | ANY_OF_TWO,
    )
    keyed, hopeless, scanning, everything, either = listening(own, subject(id=[1, "x"], user=None))
    assert [(one.event_path, one.async_path, one.value) for one in keyed.keys[0]] == [
        ("event.data.id", "async.data.id", [1, "x"])
    ]
    assert (keyed.index, keyed.event, keyed.until) == (0, "a", RECEIVED + HOUR)
    assert (hopeless.can_match, hopeless.keys[0][0].value, hopeless.until) == (False, None, None)
    assert (scanning.can_match, scanning.keys) == (True, ())
    assert (everything.expression, everything.can_match) == (None, True)
    assert [[one.value for one in branch] for branch in either.keys] == [[[1, "x"]], [None]]
    assert either.can_match


def test_a_member_that_is_no_name_is_written_in_brackets() -> None:
    """Its path is shown as it must be written in an expression."""
    (rule,) = listening(function({"event": "a", "match": 'data["report-id"]'}), subject())
    assert rule.keys[0][0].event_path == "event.data['report-id']"


def test_a_definition_that_is_none_is_refused() -> None:
    """The error has every wrong field, as when it is applied."""
    with pytest.raises(DefinitionError, match="triggers"):
        compile_version("shop-ship", 1, {"id": "ship", "app": "shop"}, 1)


def test_a_level_says_what_is_the_runs_own_event() -> None:
    """An event of another name with the trigger's id is another event from level 2 on."""
    same_id = {"name": "order/dropped", "data": {"order": 1}, "id": "placed-1", "ts": NOW}
    rule = {"event": "order/dropped", "match": "data.order"}
    for semantics, why in ((1, [Why.OWN_EVENT]), (2, [])):
        [verdict] = judge(function(rule, semantics=semantics), subject(order=1), same_id, NOW)
        assert [reason.why for reason in verdict.reasons] == why


@pytest.mark.parametrize(("early", "whys"), [(None, [Why.REPEAT]), ("1h", [])])
def test_a_repeat_is_named_with_its_first(early: str | None, whys: list[Why]) -> None:
    """S36: with where and when that came, unless it could have cancelled the run."""
    rule = {"event": "order/dropped", "match": "data.order", "dedupe": "24h"}
    rule |= {"early_cancel": early} if early else {}
    cancel = {"name": "order/dropped", "data": {"order": 1}, "id": "c1", "ts": NOW}
    first = First(RECEIVED - 5_000, "cancels", 2, 7)
    [verdict] = judge(function(rule), subject(order=1), cancel, NOW, {0: first})
    assert [reason.why for reason in verdict.reasons] == whys
    texts = [reason.text for reason in verdict.reasons]
    assert all("c1 came before" in text and "cancels, partition 2, 7" in text for text in texts)
