"""Macros in macros, and what is computed where a literal might stand."""

from typing import Any

import pytest

from streams.errors import EvaluationError
from streams.matching import Meter, limits, parse

EVENT = {"data": {"id": "u1", "n": 20, "nothing": None}}


def answer(text: str, event: dict[str, Any], async_: dict[str, Any]) -> bool | str:
    """The answer of compiled and reference evaluation; "error" where there is none."""
    expression = parse(text)
    answers: list[bool | str] = []
    for evaluate in (expression.evaluate, expression.reference):
        try:
            answers.append(evaluate(event, async_, Meter.off()))
        except EvaluationError:
            answers.append("error")
    assert answers[0] == answers[1]
    return answers[0]


LISTS = {"lists": [["a", "b"], [], ["c", ["d"]]], "objects": [{"ids": ["u2"]}, {"ids": ["u1"]}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.lists.exists(l, l.exists(x, x == async.id))", True),
        ("event.lists.exists(l, l.exists(x, x == async.gone))", "error"),
        ("event.lists.exists(l, l.exists(x, x == 'z'))", False),
        ("event.lists.all(l, l.exists(x, x == 'b' || l[0] == 'c'))", False),
        ("event.lists.all(l, l.all(x, x in l && l in event.lists))", True),
        (
            (
                "event.lists.map(l, l.map(x, [x, l[0]])) =="
                " [[['a', 'a'], ['b', 'a']], [], [['c', 'c'], [['d'], 'c']]]"
            ),
            True,
        ),
        ("event.lists.filter(l, l.exists_one(x, x != 'a')).size() == 1", True),
        ("event.lists.exists(l, l.exists(x, x.exists(y, y == 'd' && l[1] == x)))", True),
        ("event.lists.exists(l, l.exists(x, [x].exists(y, y == async.id && l[1] == y)))", True),
        ("event.objects.exists(o, o.ids.exists(i, i == async.user && has(o.ids)))", True),
        ("event.objects.exists(o, o.gone.exists(i, true)) || true", True),
        ("event.objects.exists(o, o.ids.exists(i, i == 'u1' && o.gone == 1))", "error"),
        ("[1].exists(y, [0].exists(y, y == 0))", True),
        ("[1].exists(y, [0].exists(y, y == 0) && y == 1)", True),
        ("[[[1]], [[2]]].exists(x, x.exists(y, y.exists(x, x == 2 && y == [2])))", True),
        ("[1, 2].map(x, [x].map(x, x + 1)[0]).exists(x, x == 3)", True),
        ("event.lists.map(l, l.filter(x, x == async.id)).exists(l, l == [async.id])", True),
        ("[3, 2].all(n, [1, 2].exists(m, n == m + 1))", True),
        ("[3, 2].all(n, [1, 2].map(m, n + m).exists(s, s - n == 1))", True),
        ("event.lists.exists(l, l.exists(x, timestamp(0) == timestamp(0) && x == 'b'))", True),
        ("event.lists.exists(l, l.exists(l, timestamp(1) > timestamp(0) && l == async.id))", True),
        ("{async.id: timestamp(1)}.b > timestamp(0) && event.lists[0][1] == async.id", True),
        ("{async.gone: timestamp(1)}.b > timestamp(0)", "error"),
        ("{async.id: timestamp(1), 'b': 1}.b == 1", "error"),
        ("{event.lists: timestamp(1)} == {}", "error"),
        (
            "event.lists.exists(l, [timestamp(1)].exists(t, l.exists(x, x == 'c' && int(t) == 1)))",
            True,
        ),
    ],
)
def test_macros_in_macros_see_the_variables_around(text: str, expected: bool | str) -> None:
    """Any item of any list, three deep; a name means the innermost variable that has it."""
    assert answer(text, LISTS, {"id": "b", "user": "u1"}) == expected
    assert parse(text).compiled is ("timestamp" not in text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dyn(1) == 1.0 && dyn(event.data).id == 'u1' && has(dyn(event.data).id)", True),
        ("dyn(event.data.id) == async.data.id", True),
        ("dyn(event.data.other) == async.data.other", False),
        ("dyn(event.data.other) != async.data.other", "error"),
        ("[1, 'a',].size() == 2 && {'a': 1,}.a == 1", True),
        ("{event.data.id: 1, 'a': 2} == {'u1': 1, 'a': 2}", True),
        ("{event.data.id: 1}[event.data.id] == 1 && 'u1' in {async.data.id: 1}", True),
        ("['a', 'b'].map(k, {k: 1}) == [{'a': 1}, {'b': 1}]", True),
        ("{event.data.id: 1, 'u1': 2} == {}", "error"),
        ("{event.data.id: 1, async.data.id: 1} == {'u1': 1}", "error"),
        ("{event.data.n: 1} == {}", "error"),
        ("{event.data.nothing: 1} == {}", "error"),
        ("{event.data.other: 1} == {}", "error"),
        ("{event.data.id: event.data.other} == {}", "error"),
        ("has({'a': event.data.other}.a)", "error"),
        ("has({event.data.id: 1}.u1) && !has({event.data.id: 1}.a)", True),
        ("matches('u1', '^u[0-9]$') && matches(event.data.id, 'u')", True),
        ("matches(event.data.n, '2')", "error"),
        ("event.data.id.matches(async.data.pattern)", True),
        ("matches(event.data.id, async.data.pattern + '$')", True),
        ("matches(event.data.id, '^' + event.data.id)", True),
        ("event.data.id.matches(async.data.broken)", "error"),
        ("event.data.id.matches(async.data.huge)", "error"),
        ("event.data.id.matches(async.data.long)", "error"),
        ("event.data.id.matches(async.data.gone)", "error"),
        ("event.data.id.matches(event.data.n)", "error"),
        ("event.data.n.matches(event.data.id)", "error"),
        ("event.data.id.matches(async.data.broken) || true", True),
        ("async.data.patterns.exists(p, event.data.id.matches(p))", True),
        ("async.data.patterns.all(p, 'a1'.matches(p))", "error"),
    ],
)
def test_what_is_computed_may_stand_for_a_literal(text: str, expected: bool | str) -> None:
    """A key, a pattern; `dyn` says nothing about a value."""
    patterns = {
        "pattern": "^u[0-9]",
        "broken": "(",
        "huge": "((a{100}){100}){100}",
        "long": "a" * (limits.GIVEN_PATTERN_CHARS + 1),
        "patterns": ["^a", "1$", "["],
    }
    assert answer(text, EVENT, {"data": {"id": "u1", **patterns}}) == expected
    assert parse(text).compiled
