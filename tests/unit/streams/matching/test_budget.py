"""What an evaluation may take (S37): an expression that is too expensive ends, and nothing else."""

from typing import Any

import pytest
import re2

from streams.errors import BudgetError, EvaluationError, ExpressionError
from streams.matching import Meter, check, limits, parse, patterns

# The most that 512 KiB of JSON hold of short texts.
IDS = [f"{number:05d}" for number in range(65_000)]
NUMBERS = list(range(80_000))
BOMB = "[[[1]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 16 + ".exists(x, 2 in x)"
QUADRATIC = "event.data.few.exists(x, -1-x in event.data.wide)"
# Only celpy evaluates this, so it comes after the operands beside it.
LATE_TRUE = "timestamp('2026-01-01T00:00:00Z') != null"
WIDE = {"few": NUMBERS[:1_000], "wide": NUMBERS}


FEW = NUMBERS[:20_000]
LISTS = [list(range(100)) for _ in range(1_000)]


def evaluated(
    text: str, data: Any = None, async_data: Any = None, meter: Meter | None = None
) -> bool:
    """The answer within the budget."""
    event, async_ = {"data": data}, {"data": async_data}
    return parse(text).evaluate(event, async_, meter or Meter())


EXPENSIVE = [
    pytest.param(BOMB, None, id="lists that double"),
    pytest.param(QUADRATIC, WIDE, id="a list for each item of a list"),
    pytest.param(
        "event.data.few.exists(x, async.data.wide == event.data.wide && false)",
        WIDE,
        id="two lists for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.contains('aab'))",
        {"few": NUMBERS[:1_000], "text": "a" * 400_000},
        id="a text that is searched for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text + 'b' == 'b')",
        {"few": NUMBERS[:1_000], "text": "a" * 60_000},
        id="a text that is made for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, double(event.data.text) == 1.0)",
        {"few": NUMBERS[:1_000], "text": "1" * 400_000},
        id="a text that is converted for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text == async.data.text && false)",
        {"few": NUMBERS[:2_000], "text": "a" * 400_000},
        id="a text that is compared for each item",
    ),
    pytest.param(
        "event.data.few.map(x, {'a': x, 'b': [x, x]}).map(y, [y, y, y, y]).size() > 0",
        {"few": NUMBERS},
        id="values that are made",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.map[async.data.key] == 2)",
        {
            "few": NUMBERS[:20_000],
            "map": {"k" * 200_000 + "\N{GRINNING FACE}": 1},
            "key": "k" * 200_000 + "\N{GRINNING FACE}",
        },
        id="a long key that is looked up for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.contains(event.data.part))",
        {"few": NUMBERS[:20_000], "text": "a" * 2_499, "part": "a" * 1_248 + "ba"},
        id="a short text that is searched with all pairs of characters",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text > async.data.other)",
        {
            "few": NUMBERS[:20_000],
            "text": "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 80_000,
            "other": "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 79_999 + "\N{GRINNING FACE}",
        },
        id="wide texts that are compared for each item",
    ),
    pytest.param(
        "event.data.wide.exists(x, x.none == 1)", {"wide": NUMBERS}, id="errors that are caught"
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.matches('(.{0,500}){0,2}b'))",
        {"few": NUMBERS[:1_000], "text": "a" * 10_000},
        id="a pattern with a large program",
    ),
    pytest.param(
        "event.data.times.exists(t, timestamp(t) > timestamp('2030-01-01T00:00:00Z'))",
        {"times": ["2026-01-01T00:00:00Z"] * (limits.REFERENCE_ITEMS + 1)},
        id="a list that only celpy can walk",
    ),
    pytest.param(
        "timestamp(event.data.wide[0]) > timestamp('2030-01-01T00:00:00Z')",
        {"wide": IDS},
        id="an event that is converted for celpy",
    ),
]


EXPENSIVE_FOR_ALL = [
    *EXPENSIVE[:3],
    pytest.param(
        "event.data.exists(x, event.data.exists(y, x + y == -1))",
        NUMBERS,
        id="a macro in a macro",
    ),
    pytest.param(
        "event.data.exists(x, event.data.exists(y, event.data.exists(z, x + y == -z - 1)))",
        NUMBERS[:300],
        id="three macros in each other",
    ),
    pytest.param(
        f"[{', '.join(['event.data'] * 60)}].exists(l, l.exists(x, x.exists(y, y == -1)))",
        LISTS,
        id="a list that is an item again and again",
    ),
    pytest.param(
        "event.data.map(l, l.map(x, l.map(y, [x, y]))).size() > 0", LISTS, id="nested lists made"
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.replace('a', 'bb') == '')",
        {"few": FEW, "text": "a" * 30_000},
        id="a text that is replaced for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.replace('', '') == '')",
        {"few": FEW, "text": "a" * 250_000},
        id="nothing that is replaced by nothing, for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.replace(event.data.part, '') == '')",
        {"few": FEW, "text": "a" * 2_499, "part": "a" * 1_248 + "ba"},
        id="a part that almost occurs everywhere, for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.split('').size() == 0)",
        {"few": FEW, "text": "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 10_000},
        id="a text that is taken apart for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.ids.join(',') == '')",
        {"few": FEW, "ids": IDS[:10_000]},
        id="a list that is joined for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.lowerAscii() == event.data.text.upperAscii())",
        {"few": FEW, "text": "\u00c9A" * 100_000},
        id="letters that are changed for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.trim() == 'a')",
        {"few": FEW, "text": " " * 250_000},
        id="space that is taken away for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.substring(1) == '')",
        {"few": FEW, "text": "a" * 250_000},
        id="a part of a text that is made for each item",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.indexOf(event.data.part, 101) == 7)",
        {"few": FEW, "text": "a" * 2_600, "part": "a" * 1_248 + "ba"},
        id="a text that is short from a position on",
    ),
    pytest.param(
        "event.data.few.exists(x, event.data.text.lastIndexOf(event.data.part) == 7)",
        {"few": FEW, "text": "a" * 200_000, "part": "b" + "a" * 100_000},
        id="a long text that is searched backwards",
    ),
    pytest.param(
        "event.data.patterns.exists(p, event.data.text.matches(p))",
        {"patterns": [f"x{number}" for number in range(40_000)], "text": "a"},
        id="patterns that are compiled",
    ),
    pytest.param(
        "event.data.patterns.exists(p, event.data.text.matches(p + '{9}y'))",
        {"patterns": ["(x{1,9}){1,9}"] * 10_000, "text": "x" * 3_000},
        id="a pattern that is tried again and again",
    ),
    pytest.param(
        "event.data.exists(x, {string(x): x, 'a': [x]} == {})", NUMBERS, id="maps that are made"
    ),
]


@pytest.mark.parametrize(("text", "data"), [*EXPENSIVE, *EXPENSIVE_FOR_ALL[3:]])
def test_an_expensive_evaluation_ends(text: str, data: Any) -> None:
    """It ends before it takes more than its budget, and takes the same each time."""
    spent = []
    for _ in range(2):
        meter = Meter()
        with pytest.raises(BudgetError, match=r"docs/limits\.md|may be walked"):
            evaluated(text, data, data, meter)
        spent.append(meter.spent)
    assert spent[0] == spent[1] <= limits.EVALUATION_BUDGET


@pytest.mark.parametrize(("text", "data"), EXPENSIVE[1:])  # the first is nested too deeply
@pytest.mark.parametrize(
    "around",
    [
        f"({{}}) || {LATE_TRUE}",
        f"({{}}) && !({LATE_TRUE}) || {LATE_TRUE}",
        f"!(({{}}) && !({LATE_TRUE}))",
    ],
)
def test_no_operator_goes_on_after_it(text: str, data: Any, around: str) -> None:
    """What would absorb an error doesn't absorb the end of the budget."""
    with pytest.raises(BudgetError):
        evaluated(around.format(text), data, data)


@pytest.mark.parametrize(("text", "data"), EXPENSIVE_FOR_ALL)
def test_the_reference_ends_too(text: str, data: Any) -> None:
    """The reference is charged by the same table, and takes the same each time."""
    spent = []
    for _ in range(2):
        meter = Meter()
        with pytest.raises(BudgetError):
            parse(text).reference({"data": data}, {"data": data}, meter)
        spent.append(meter.spent)
    assert spent[0] == spent[1] <= limits.EVALUATION_BUDGET


def test_an_inner_walk_is_charged_for_each_item_around() -> None:
    """Once per evaluation the first list weighs less; what is walked inside it never does."""

    def spent(rows: int, columns: int) -> int:
        meter = Meter()
        text = "event.data.exists(l, l.exists(x, x == async.data.id))"
        assert not evaluated(text, [[0] * columns] * rows, {"id": 1}, meter)
        return meter.spent

    row, item = spent(2, 0) - spent(1, 0), spent(1, 2) - spent(1, 1)
    assert spent(1, 3) == spent(1, 0) + 3 * item
    assert spent(30, 40) == spent(0, 0) + 30 * row + 1_200 * item


def test_any_item_of_any_list_fits_for_large_events() -> None:
    """Half as many items as the largest event holds."""
    lists = [IDS[at : at + 100] for at in range(0, 30_000, 100)]
    text = "event.data.lists.exists(l, l.exists(x, x == async.data.id))"
    assert evaluated(text, {"lists": lists}, {"id": IDS[29_999]})


def test_the_reference_walks_no_long_list_inside_another() -> None:
    """Its limit of items holds for each walk."""
    data = [[0] * (limits.REFERENCE_ITEMS + 1)]
    with pytest.raises(BudgetError, match="may be walked"):
        evaluated("event.data.exists(l, l.exists(x, timestamp(x) == timestamp(1)))", data)


@pytest.mark.parametrize("walked", ["'a'", "event.data"])
def test_patterns_of_events_are_bounded_in_all(walked: str) -> None:
    """However many come, RE2 keeps few; those of the rules stay, and nothing is charged less."""
    assert evaluated("event.data.matches('^of-a-rule$')", "of-a-rule")
    kept = patterns._small.cache_info()
    spent = []
    for number in range(2 * limits.GIVEN_PATTERNS):
        for _ in range(2):  # the second time it need not be compiled
            meter = Meter()
            text = f"{walked}.matches(event.data + '$^b')"
            assert not evaluated(text, f"event-{number:03}", meter=meter)
            spent.append(meter.spent)
    assert len(set(spent)) == 1
    assert patterns._within.cache_info().currsize == limits.GIVEN_PATTERNS
    assert patterns._small.cache_info() == kept


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("event.data.exists(i, i == async.data.id)", True),
        ("event.data.all(i, i != async.data.none)", True),
        ("async.data.id in event.data", True),
        ("async.data.none in event.data", False),
        ("event.data == async.data.ids || false", True),
        ("async.data.ids.exists(i, i == event.data[64999])", True),
        ("event.data.exists(i, i == async.data.none || i == async.data.id)", True),
        ("event.data.filter(i, i == async.data.id).size() == 1", True),
        ("event.data.map(i, i).size() == 65000", True),
    ],
)
def test_one_look_at_each_item_of_the_largest_event_fits(text: str, answer: bool) -> None:
    """Lists of ids work up to what an event holds."""
    assert evaluated(text, IDS, {"id": IDS[-1], "none": "none", "ids": list(IDS)}) is answer


def test_what_literals_alone_exceed_is_refused_when_applied() -> None:
    """At its place; where such an expression is stored already, it only ends when evaluated."""
    text = f"event.data.ok == true &&\n {BOMB}"
    with pytest.raises(ExpressionError, match="whatever the event") as refused:
        check(text)
    assert (refused.value.line, refused.value.column) == (2, 2)
    assert parse(text).indexed is False
    with pytest.raises(BudgetError):
        evaluated(text, {"ok": True})


def test_a_pattern_that_no_evaluation_can_use_is_refused_when_applied() -> None:
    """Its program alone takes more than a budget, since it may have to be made each time."""
    text = r"event.data.id.matches('^\\p{L}{1,100}$')"
    with pytest.raises(ExpressionError, match="whatever the event") as refused:
        check(text)
    assert refused.value.position == 0
    assert parse(text).compiled


@pytest.mark.parametrize(
    "text",
    [
        "event.data.id in ['a', 'b'] && [1, 2].exists(x, x == event.data.n)",
        "[1, 'a'].map(x, x + 1) == [] || event.data.ok == true",
        "timestamp('2026-01-01T00:00:00Z') < timestamp(event.data.at)",
        "[1, 2, 3].map(x, x * 2).exists(x, x == event.data.n)",
    ],
)
def test_literals_that_fit_are_accepted(text: str) -> None:
    """Also where they have no answer: an operand beside them may decide."""
    assert check(text).text == text


def test_evaluations_may_have_one_budget_together() -> None:
    """What is left of it is less than an evaluation's own, in the end nothing."""
    text = "event.data.exists(i, i == 'none')"
    alone = Meter()
    assert evaluated(text, IDS, meter=alone) is False
    meter = Meter()
    meter.allow(2.5 * alone.spent)
    assert not evaluated(text, IDS, meter=meter)
    assert not evaluated(text, IDS, meter=meter)
    for _ in range(2):
        with pytest.raises(BudgetError):
            evaluated(text, IDS, meter=meter)
    meter.allow(2.5 * alone.spent)
    assert not evaluated(text, IDS, meter=meter)


def test_the_end_does_not_depend_on_what_was_counted_before() -> None:
    """A router that reads an event again must end its evaluations at the same place."""
    text = "event.data.texts.exists(t, t == async.data.text)"
    data = {"texts": ["x" * 1_001] * 7, "text": "y" * 1_001}
    fresh = Meter()
    assert evaluated(text, data, data, fresh) is False
    for before in (0.1, 1e6 + 0.7, 3e15 + 0.3):
        meter = Meter()
        meter.add(before)
        start = meter.spent
        assert evaluated(text, data, data, meter) is False
        assert meter.spent - start == fresh.spent
        meter.allow(fresh.spent - 1)
        with pytest.raises(BudgetError):
            evaluated(text, data, data, meter)
        meter.allow(fresh.spent)
        assert evaluated(text, data, data, meter) is False


def test_an_error_shows_no_large_value() -> None:
    """Writing out a key of 400 KB for a message, only to cut it off, would take its time."""
    with pytest.raises(EvaluationError) as missing:
        evaluated("event.data.map[event.data.key] == 1", {"map": {}, "key": "k" * 400_000})
    assert len(str(missing.value)) < 100


def test_patterns_are_bounded_in_all() -> None:
    """However many there are, RE2 keeps no more than stated; its own cache keeps nothing."""
    for number in range(2 * limits.SMALL_PATTERNS):
        patterns.compiled(f"^report-{number}$")
    for number in range(2 * limits.LARGE_PATTERNS):
        patterns.compiled(rf"\p{{L}}{{1,100}}{number}")
    kept = [(patterns._small, limits.SMALL_PATTERNS), (patterns._large, limits.LARGE_PATTERNS)]
    assert [cache.cache_info().currsize for cache, _ in kept] == [most for _, most in kept]
    assert re2._Regexp._make.cache_info().currsize == 0
