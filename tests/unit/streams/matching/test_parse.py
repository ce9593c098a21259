"""Which expressions are accepted, and with what message the others are refused."""

import logging
import sys
from contextlib import suppress

import pytest
from celpy import CompiledRunner, Environment

from streams.errors import CountermandError, EvaluationError, ExpressionError
from streams.matching import Meter, check, parse
from streams.matching.expression import Expression

EVENT = frozenset({"event"})


def refusal(
    text: str, variables: frozenset[str] = frozenset({"event", "async"})
) -> ExpressionError:
    """The error that a text is refused with."""
    with pytest.raises(ExpressionError) as caught:
        parse(text, variables)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "event.data.a == async.data.a",
        "event.data['b'] == async.data[\"b\"]",
        "event.ids[1] == 'a' && event.ids[2] == 'b'",
        "event.ids[event.data.n] == 'a'",
        "event.data.a in ['a', 'b'] || 'x' in event.data.arr",
        "has(event.data.a) ? event.data.a > 1 : false",
        "event.data.s.matches(r'^\\d+$') // digits",
        "event.data.l.filter(x, x > 1).exists(x, x == 2)",
        "event.data.at == '''a\nb'''",
        "timestamp(event.data.at) < timestamp('2026-01-01T00:00:00Z') + duration('1h30m')",
        "event.data.null == 1 && event.data.if == 2",
        "event.data.a -1 == 2 && 2 - -1 == 3 && --1 == 1",
        "0x1F == 31 && .5 == 5e-1",
        "event.data.a\n  == 1\t\r\n",
        "event.l.all(x, x.all(y, y.all(x, x)) && x.y.all(y, y))",
        "[1, 2,] == [1,\n] && {'a': [1,],} == {'a': 1 , }",
        "{event.a: 1, event.b: 2} == {}",
        "event.a.matches(event.b) && matches(event.a, event.b)",
        "dyn(dyn(event.a)).b == duration(event.c)",
    ],
)
def test_expressions_of_the_language_are_accepted(text: str) -> None:
    """CEL over JSON is parsed, unless it is ambiguous."""
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "empty"),
        (" // nothing", 0, "empty"),
        ("foo.x == 1", 0, "unknown variable foo: this expression reads async and event"),
        ("event.a == x", 11, "unknown variable x"),
        ("event.x = 1", 8, "compare with =="),
        ("event.x & true", 8, "write &&"),
        ("event.x | true", 8, "write ||"),
        ("event.é == 1", 6, "only strings may hold it"),
        ("event.x ==", 10, "ends too early"),
        ("event.x == 1 ||", 15, "ends too early"),
        ("== 1", 0, "unexpected '=='"),
        ("event.x inside", 8, "inside follows x without an operator"),
        ("event.x 1", 8, "1 follows x without an operator"),
        ("event.true", 6, 'write ["true"]'),
        ("event.in", 6, 'write ["in"]'),
        ("event.a[", 7, "[ is not closed"),
        ("(event.a", 0, "( is not closed"),
        ("event.a)", 7, ") closes nothing"),
        ("(event.a]", 8, "] closes nothing"),
        ("event{}", 0, "no meaning for JSON"),
        (".event", 0, "no meaning for JSON"),
        ("1u == 1", 0, "write 1"),
        ("5. == 5", 0, "malformed number"),
        ("1x == 1", 0, "malformed number"),
        ("1e400 > 1", 0, "too large for a double"),
        ("9223372036854775808 == 1", 0, "beyond 64 bits"),
        ("b'a' == 'a'", 0, "bytes have no place in JSON"),
        ("'a", 0, "not closed: add '"),
        ("'a\nb'", 0, "not closed: add '"),
        ("'''a", 0, "not closed: add '''"),
        (r"'a\q'", 2, r"write \\ for a backslash"),
        (r"'\ud800'", 1, "is no character"),
        (r"'\U00110000'", 1, "is no character"),
        ("'\ud800'", 1, "lone surrogate"),
        (r"r'a\'b'", 3, "leave out the r"),
        (r"r'a\''b'", 3, "leave out the r"),
        ("`a` == 1", 0, "stands after a dot"),
        ("event.`a == 1", 6, "close it with another"),
        ("event.`` == 1", 6, "between backticks stand letters"),
        ("event.`a:b` == 1", 6, 'write ["name"]'),
        ("event.`size`() == 1", 6, "without backticks"),
        ("event.a`b` == 1", 7, "`b` follows a without an operator"),
        ("sizee(event.a)", 0, "unknown function sizee: did you mean size?"),
        ("type(event.a)", 0, "unknown function type: there are bool, double"),
        ("dyn()", 0, "dyn takes 1 argument, not 0"),
        ("matches('a')", 0, "matches takes 2 arguments, not 1"),
        ("event.a.substring()", 8, "substring takes 1 or 2 arguments, not 0"),
        ("event.a.upperASCII()", 8, "did you mean upperAscii?"),
        ("has(dyn(event.a))", 0, "has takes one member"),
        ("size([1],) == 1", 9, "unexpected ')'"),
        ("event.a[1,] == 1", 9, "unexpected ','"),
        ("[,] == []", 1, "unexpected ','"),
        ("[1,,] == []", 3, "unexpected ','"),
        ("{'a': 1,,} == {}", 8, "unexpected ','"),
        ("event.a.startswith('x')", 8, "did you mean startsWith?"),
        ("event.a.reduce(a, b, 0, a)", 8, "unknown method reduce"),
        ("size()", 0, "size takes 1 argument, not 0"),
        ("event.a.startsWith()", 8, "startsWith takes 1 argument, not 0"),
        ("event.a.getHours('UTC', 1) == 1", 8, "getHours takes 0 or 1 arguments, not 2"),
        ("has(event)", 0, "has takes one member"),
        ("has(event.a, event.b)", 0, "has takes one member"),
        ("event.l.all(x)", 8, "all takes 2 arguments, not 1"),
        ("event.l.all(x.y, true)", 12, "the name of its variable"),
        ("event.l.all(event, true)", 12, "event is taken"),
        ("event.l.all(size, true)", 12, "size is taken"),
        ("event.l.all(dyn, true)", 12, "dyn is taken"),
        (
            "event.l.all(x, x.all(y, y.all(z, z.all(q, q))))",
            33,
            "macros nested over 3 levels",
        ),
        ("event.l.all(x, x.all(y, y)) && y", 31, "unknown variable y"),
        ("event.l.all(x, x.all(event, true))", 21, "event is taken"),
        ("event.l.all(x, true) && x", 24, "unknown variable x"),
        ("{1: 2} == 1", 1, "is a string, as in JSON"),
        ("{event.a: 2, true: 1} == 1", 13, "is a string, as in JSON"),
        ("{'a': 1, event.b: 1, 'a': 2} == 1", 21, "stands twice"),
        ("event.a.matches('(')", 16, "not a pattern of RE2"),
        ("matches(event.a, '(')", 17, "not a pattern of RE2"),
        ("event.a.matches(1)", 16, "matches takes a string"),
        ("duration(60) == event.b", 9, "duration takes a string"),
        ("duration('1 hour') == event.b", 9, "not a duration"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(text: str, position: int, message: str) -> None:
    """The error has the place of the mistake, and says what to write instead."""
    error = refusal(text)
    assert message in error.message
    assert error.position == position


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("event.at == timestamp('2026-13-01T00:00:00Z')", 12),
        ("timestamp(event.at) > timestamp(-62135596801)", 22),
        ("timestamp(event.at) - timestamp(0) > duration('2562048h')", 37),
        ("event.a == int('1_0') || event.b", 11),
        ("double('NaN') > event.a", 0),
        ("bool('yes') && event.a", 0),
    ],
)
def test_a_conversion_of_literals_without_an_answer_is_refused_when_applied(
    text: str, position: int
) -> None:
    """It would err for every event; where such an expression is stored already, it still does."""
    with pytest.raises(ExpressionError, match="no answer, whatever the event") as caught:
        check(text)
    assert caught.value.position == position
    assert parse(text).text == text


def test_the_place_is_also_given_by_line_and_column() -> None:
    """In a rule of several lines the offset alone is hard to find."""
    error = refusal("event.a == 1 &&\n  foo == 2")
    assert (error.position, error.line, error.column) == (18, 2, 3)
    assert str(error).startswith("line 2, column 3: unknown variable foo")
    assert isinstance(error, CountermandError)


def test_a_trigger_condition_reads_the_event_alone() -> None:
    """A function is triggered without a cancel event."""
    assert refusal("async.a == 1", EVENT).message == (
        "unknown variable async: this expression reads event"
    )
    assert parse("event.data.pages > 0", EVENT).evaluate({"data": {"pages": 2}}, None, Meter())


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("'" + "a" * 2100 + "'", 2048, "2102 bytes are over the limit of 2048"),
        ("'" + "é" * 1024 + "'", 1026, "2050 bytes are over the limit of 2048"),
        ("!" + "()" * 600, 1000, "over 1000 tokens"),
        ("(" * 33 + "1" + ")" * 33, 32, "nested over 32 levels"),
        ("[" * 900, 32, "nested over 32 levels"),
        ("!" * 900 + "true", 32, "nested over 32 levels"),
        ("-" * 33 + "event.a == 1", 31, "nested over 32 levels"),
        ("event" + ".a" * 33, 0, "nested over 32 levels"),
        (" + ".join(["1"] * 40), 0, "nested over 32 levels"),
        ("true ? 1 : " * 40 + "2", 341, "nested over 32 levels"),
        (" && ".join(["event.a == 1"] * 75), 0, "over 300 nodes"),
        (" && ".join(["event.a == 1"] * 80), 1200, "over 300 nodes"),
        ("[" + ",".join(["1"] * 320) + "]", 601, "over 300 nodes"),
    ],
)
def test_every_limit_is_enforced_with_its_place(text: str, position: int, message: str) -> None:
    """A limit stops an expression before celpy or Python's stack does."""
    error = refusal(text)
    assert message in error.message
    assert error.position == position


@pytest.mark.parametrize(
    "text",
    [
        "(" * 32 + "true" + ")" * 32,
        "!" * 30 + "true",
        "event" + ".a" * 31,
        " && ".join(["event.a == 1"] * 74),
        " || ".join(["true"] * 250),
        "'" + "a" * 2046 + "'",
        "[" + ",".join(["1"] * 297) + "] == 1",
    ],
)
def test_what_just_keeps_the_limits_is_parsed_and_evaluated(text: str) -> None:
    """The largest expressions allowed are parsed and evaluated without stack overflow."""
    expression = parse(text)
    for evaluate in (expression.evaluate, expression.reference):
        answer = ""
        try:
            evaluate({"a": 1}, {}, Meter())
        except EvaluationError as error:
            answer = str(error)
        assert "nested" not in answer
        assert "recursion" not in answer


@pytest.mark.parametrize(
    "text",
    [
        'duration("' + "a" * 40 + '1") == duration("1s")',
        '"' + r"\a" * 200,
        '"""' + r"\a" * 200,
        'event.a == "' + "\\\\" * 300 + "\\",
        "event.a.matches('(a+)+$')",
    ],
)
def test_no_text_takes_exponential_time(text: str) -> None:
    """Literals that take celpy's backtracking patterns long are refused before: this test ends."""
    with suppress(ExpressionError):
        assert not parse(text).evaluate({"a": "a" * 10_000 + "b"}, None, Meter.off())


def test_celpy_neither_changes_nor_is_changed_by_this_process() -> None:
    """Expressions are parsed by a parser of their own, whatever runner celpy has been given."""
    environment = Environment(runner_class=CompiledRunner)
    limit = sys.getrecursionlimit()
    assert Expression("event.a == 1", EVENT).evaluate({"a": 1}, None, Meter())
    assert sys.getrecursionlimit() == limit
    assert environment.program(environment.compile("1 + 1")).evaluate({}) == 2


def test_the_same_text_is_parsed_once() -> None:
    """Rules of many functions share the object of an expression."""
    assert parse("event.a == 1") is parse("event.a == 1")
    assert parse("event.a == 1") is not parse("event.a == 1", EVENT)
    assert repr(parse("event.a == 1")) == "Expression('event.a == 1')"


def test_parsing_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A refused expression is an answer to its author, not a line in the log."""
    caplog.set_level(logging.INFO)
    refusal("event.a.matches('(')")
    refusal("event..a")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("event.data.a == async.data.a", {"event", "async"}),
        ("async.data.hard", {"async"}),
        ("has(event.data.a)", {"event"}),
        ("true || 'event' == 'async'", set()),
        ("[1].exists(x, x == async.data.n) ? !(event == 1) : false", {"event", "async"}),
        ("{'event': [async.data.l[0]]}.event[0] == 1", {"async"}),
    ],
)
def test_what_an_expression_mentions(text: str, mentioned: set[str]) -> None:
    """Anywhere: in operands, arguments, items, indexes and the bodies of macros."""
    expression = parse(text)
    assert {name for name in ("event", "async") if expression.mentions(name)} == mentioned
