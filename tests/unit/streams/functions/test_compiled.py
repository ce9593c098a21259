"""Compiled functions: triggers, listeners, cancel keys and verdicts."""

from typing import Any

import pytest

from streams.errors import DefinitionError, EvaluationError, ExpressionError
from streams.functions.compiled import CompiledFunction, cancel_matchers, compile_definition
from streams.matching import Meter
from topology import codec, keys
from topology.records import CancelRule, Definition, Function, Listener, Match, Trigger


def compiled(
    *rules: CancelRule, triggers: tuple[Trigger, ...] = (Trigger(event="order/placed"),)
) -> CompiledFunction:
    """A version of the function shop-ship with these rules."""
    function = Function(app="shop", id="ship", triggers=triggers, cancel_on=rules)
    return compile_definition(Definition("shop-ship", 7, codec.encode_function(function)), 1_000)


def event(name: str, **data: Any) -> dict[str, Any]:
    """A normalised event."""
    return {"name": name, "data": data, "id": "e1", "ts": 0}


def placed(**data: Any) -> dict[str, Any]:
    """A trigger event."""
    return event("order/placed", **data)


def cancel_matches(versions: list[CompiledFunction], cancel: dict[str, Any]) -> tuple[Match, ...]:
    """The keys under which a cancel event finds runs of these versions of a function."""
    return cancel_matchers(versions)[cancel["name"]].matches(cancel, Meter())


def test_a_version_keeps_what_it_was_compiled_from() -> None:
    """Slug, number, validity and definition stay with the compiled version."""
    function = compiled(CancelRule(event="order/dropped", match="data.id"))
    assert (function.slug, function.version, function.valid_from) == ("shop-ship", 7, 1_000)
    assert codec.decode_function(function.definition.body) == function.function
    assert function.trigger_names == {"order/placed"}


def test_a_body_of_another_function_is_refused() -> None:
    """A record under one slug can't define another function."""
    body = codec.encode_function(Function(app="shop", id="ship"))
    with pytest.raises(DefinitionError, match="shop-ship is defined under the name shop-pack"):
        compile_definition(Definition("shop-pack", 1, body))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"app": 1, "id": "x"}'])
def test_a_body_that_is_no_function_is_refused(body: bytes) -> None:
    """Bytes that are no function raise the codec's error."""
    with pytest.raises(codec.CodecError):
        compile_definition(Definition("shop-ship", 1, body))


def test_an_expression_that_does_not_parse_is_refused() -> None:
    """A version written by another release may have an expression that this one can't read."""
    with pytest.raises(ExpressionError):
        compiled(CancelRule(event="order/dropped", if_="event.data.id =="))


@pytest.mark.parametrize(
    "rule",
    [
        CancelRule(event="c"),
        CancelRule(event="c", match="data.id", all_runs=True),
        CancelRule(event="c", match="data.id", if_="true"),
        CancelRule(event="c", match="data.id", if_="true", all_runs=True),
    ],
)
def test_a_rule_without_a_single_scope_is_refused(rule: CancelRule) -> None:
    """A record that bypassed validation must not cancel every run for want of a condition."""
    with pytest.raises(DefinitionError, match="exactly one of match, if and all_runs"):
        compiled(rule)


def test_an_event_triggers_by_name() -> None:
    """S1: a trigger without a condition is decided by the event's name."""
    function = compiled()
    assert function.triggered_by(placed(), Meter())
    assert not function.triggered_by(event("order/dropped"), Meter())


def test_an_event_triggers_only_where_a_condition_is_true() -> None:
    """S1: if every trigger of the name has a condition, at least one must be true."""
    function = compiled(
        triggers=(
            Trigger(event="order/placed", if_="event.data.pages > 3"),
            Trigger(event="order/placed", if_="event.data.urgent == true"),
        )
    )
    assert function.triggered_by(placed(pages=4, urgent=False), Meter())
    assert function.triggered_by(placed(pages=1, urgent=True), Meter())
    assert not function.triggered_by(placed(pages=1, urgent=False), Meter())


def test_a_trigger_without_condition_outweighs_its_namesakes() -> None:
    """A trigger without a condition is enough, whatever the others of its name say."""
    triggers = (
        Trigger(event="order/placed", if_="event.data.pages > 3"),
        Trigger(event="order/placed"),
    )
    assert compiled(triggers=triggers).triggered_by(placed(), Meter())


def test_a_condition_without_an_answer_is_an_error_unless_another_is_true() -> None:
    """S16: the caller counts the error; another trigger that is true still starts the run."""
    failing = Trigger(event="order/placed", if_="event.data.pages > 3")
    function = compiled(triggers=(failing,))
    with pytest.raises(EvaluationError):
        function.triggered_by(placed(pages="many"), Meter())
    other = Trigger(event="order/placed", if_='event.data.pages == "many"')
    assert compiled(triggers=(failing, other)).triggered_by(placed(pages="many"), Meter())


def test_a_run_and_its_cancel_meet_under_one_key() -> None:
    """The key of a match rule comes from the same path of both events."""
    function = compiled(CancelRule(event="order/dropped", match="data.id"))
    expected = keys.MatchKeys("shop-ship", "order/dropped", [("data", "id")]).key(b"so-1")
    assert function.listeners(placed(id="o-1"), 50, Meter()) == (Listener(expected, 0, 0),)
    matches = cancel_matches([function], event("order/dropped", id="o-1"))
    assert matches == (Match(expected, 0),)


def test_equal_numbers_have_one_key_and_other_types_another() -> None:
    """S15: 1 and 1.0 are one value, the text "1" and true are others."""
    function = compiled(CancelRule(event="order/dropped", match="data.id"))

    def key(value: object) -> bytes:
        return function.listeners(placed(id=value), 0, Meter())[0].key

    assert key(1) == key(1.0)
    assert len({key(1), key("1"), key(True), key(1.5)}) == 4


@pytest.mark.parametrize("data", [{}, {"id": None}])
def test_a_missing_or_null_value_gives_neither_listener_nor_match(data: dict[str, Any]) -> None:
    """S14: such an equality is false, so there is no key to wait or look under."""
    function = compiled(CancelRule(event="order/dropped", match="data.id"))
    assert function.listeners(placed(**data), 0, Meter()) == ()
    dropped = event("order/dropped", **data)
    assert cancel_matches([function], dropped) == ()


def test_a_value_nested_beyond_comparison_gives_no_key() -> None:
    """A value that equals no other has no key, and raises no error."""
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    function = compiled(CancelRule(event="order/dropped", match="data.id"))
    assert function.listeners(placed(id=deep), 0, Meter()) == ()


def test_each_branch_of_an_or_has_its_key() -> None:
    """A run waits once per branch that its event has values for."""
    rule = CancelRule(event="c", if_="event.data.a == async.data.a || event.data.b == async.data.b")
    function = compiled(rule)
    assert [kind.paths for kind in function.rules[0].kinds] == [(("data", "a"),), (("data", "b"),)]
    both = function.listeners(placed(a=1, b=2), 0, Meter())
    assert len({listener.key for listener in both}) == 2
    assert function.listeners(placed(b=2), 0, Meter()) == both[1:]
    assert [match.key for match in cancel_matches([function], event("c", b=2))] == [both[1].key]


def test_branches_that_meet_under_one_key_give_one_listener() -> None:
    """Two event paths that are compared with one cancel path may hold the same value."""
    rule = CancelRule(event="c", if_="event.data.a == async.data.x || event.data.b == async.data.x")
    function = compiled(rule)
    assert len(function.listeners(placed(a=1, b=1), 0, Meter())) == 1
    assert len(function.listeners(placed(a=1, b=2), 0, Meter())) == 2
    assert len(cancel_matches([function], event("c", x=1))) == 1


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        (CancelRule(event="c", match="data.id"), False),
        (CancelRule(event="c", all_runs=True), False),
        (CancelRule(event="c", if_="event.data.id == async.data.id"), False),
        (CancelRule(event="c", if_="event.data.id == async.data.id && async.data.hard"), True),
        (CancelRule(event="c", if_="async.data.hard == true"), True),
        (CancelRule(event="c", if_="async.data.hard == true", all_runs=True), True),
    ],
)
def test_only_what_a_key_leaves_open_needs_evaluation(rule: CancelRule, *, needed: bool) -> None:
    """A rule of equalities alone is decided by the key."""
    assert compiled(rule).rules[0].needs_evaluation is needed


@pytest.mark.parametrize("all_runs", [False, True])
def test_a_rule_without_equality_waits_under_its_scan_key(*, all_runs: bool) -> None:
    """Such a rule has no kinds, and its cancels go to every partition, whatever it says of runs."""
    function = compiled(CancelRule(event="c", if_="async.data.hard == true", all_runs=all_runs))
    rule = function.rules[0]
    expected = keys.scan_key("shop-ship", "c")
    assert (rule.kinds, rule.scan_key) == ((), expected)
    assert function.listeners(placed(), 5, Meter()) == (Listener(expected, 0, 0),)
    assert cancel_matches([function], event("c")) == (Match(expected, 0, True),)


def test_indexed_listeners_come_first_and_keep_their_rule() -> None:
    """The first listener with an equality is the home key, wherever its rule stands."""
    function = compiled(
        CancelRule(event="m", all_runs=True),
        CancelRule(event="c", match="data.id"),
        CancelRule(event="d", match="data.user"),
    )
    assert [listener.rule for listener in function.listeners(placed(id=1, user=2), 0, Meter())] == [
        1,
        2,
        0,
    ]
    assert [listener.rule for listener in function.listeners(placed(user=2), 0, Meter())] == [2, 0]


@pytest.mark.parametrize(
    ("rules", "alone"),
    [
        ([], True),
        ([CancelRule(event="c", match="data.id")], True),
        ([CancelRule(event="c", all_runs=True)], True),
        (
            [CancelRule(event="c", if_="event.data.a == async.data.a || event.id == async.id")],
            False,
        ),
        ([CancelRule(event="c", match="data.id"), CancelRule(event="d", all_runs=True)], False),
    ],
)
def test_runs_with_one_listener_at_most_wait_at_home(
    rules: list[CancelRule], *, alone: bool
) -> None:
    """Their one listener decides their home, or waits there."""
    function = compiled(*rules)
    assert function.waits_at_home is alone
    assert (len(function.listeners(placed(id=1, a=2), 0, Meter())) <= 1) is alone


def test_a_timeout_bounds_the_listener() -> None:
    """S13: a rule listens for a time after the run's receipt, until an instant, or always."""
    function = compiled(
        CancelRule(event="a", match="data.id", timeout_ms=500),
        CancelRule(event="b", match="data.id", timeout_at=9_000),
        CancelRule(event="c", match="data.id"),
    )
    assert [listener.until for listener in function.listeners(placed(id=1), 1_000, Meter())] == [
        1_500,
        9_000,
        0,
    ]


def test_the_whole_expression_decides() -> None:
    """Runs under an equal key may not match: `matches` decides, or raises (S16)."""
    rule = compiled(
        CancelRule(event="c", if_="event.data.id == async.data.id && async.data.n > 3")
    ).rules[0]
    assert rule.matches(placed(id=1), event("c", id=1.0, n=4), Meter())
    assert not rule.matches(placed(id=1), event("c", id=1, n=3), Meter())
    with pytest.raises(EvaluationError):
        rule.matches(placed(id=1), event("c", id=1, n="x"), Meter())
    assert (
        compiled(CancelRule(event="c", all_runs=True))
        .rules[0]
        .matches(placed(), event("c"), Meter())
    )


def test_versions_share_the_kinds_they_have_in_common() -> None:
    """A cancel is looked up once per distinct key, and held for the longest time of any rule."""
    first = compiled(CancelRule(event="c", match="data.id", early_cancel_ms=10))
    second = compiled(
        CancelRule(event="m", all_runs=True),
        CancelRule(event="c", match="data.id", early_cancel_ms=70),
        CancelRule(event="c", match="data.user"),
        CancelRule(event="c", if_="async.data.all == true"),
    )
    assert cancel_matchers([first, second]).keys() == {"c", "m"}
    matches = cancel_matches([first, second], event("c", id=1, user=2))
    assert [match.hold_ms for match in matches if not match.everywhere] == [70, 0]
    assert [match.everywhere for match in matches] == [True, False, False]
