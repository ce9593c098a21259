"""CEL's extension for strings, from compiled code and from the reference alike."""

from typing import Any

import pytest

from streams.errors import EvaluationError
from streams.matching import Meter, limits, parse

LONGEST = limits.CONCATENATION_LENGTH


def answer(text: str, data: Any = None) -> Any:
    """The answer on which compiled code and reference agree; "error" where there is none."""
    expression = parse(text)
    assert expression.compiled
    answers: list[bool | str] = []
    for evaluate in (expression.evaluate, expression.reference):
        try:
            answers.append(evaluate({"data": data}, None, Meter.off()))
        except EvaluationError:
            answers.append("error")
    assert answers[0] == answers[1], f"{text}: compiled {answers[0]}, reference {answers[1]}"
    return answers[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'tacocat'.charAt(3) == 'o' && 'tacocat'.charAt(7) == ''", True),
        ("'\u00a9\u03b1T'.charAt(1) == '\u03b1' && '\U0001f431!'.charAt(1) == '!'", True),
        ("''.charAt(0) == ''", True),
        ("'tacocat'.charAt(8) == ''", "error"),
        ("'tacocat'.charAt(-1) == 't'", "error"),
        ("'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(7) == ''", True),
        ("'tacocat'.substring(0, 4) == 'taco' && 'tacocat'.substring(4, 4) == ''", True),
        ("'ta\u00a9o\u00a9\u03b1T'.substring(2, 6) == '\u00a9o\u00a9\u03b1'", True),
        ("'tacocat'.substring(8) == ''", "error"),
        ("'tacocat'.substring(-1) == 't'", "error"),
        ("'tacocat'.substring(1, 8) == ''", "error"),
        ("'tacocat'.substring(4, 3) == ''", "error"),
        ("'tacocat'.substring(-2, -1) == ''", "error"),
        ("'tacocat'.substring(event.data) == 'cat'", "error"),
        ("'tacocat'.indexOf('ac') == 1 && 'tacocat'.indexOf('none') == -1", True),
        ("'tacocat'.indexOf('') == 0 && 'tacocat'.indexOf('', 3) == 3", True),
        ("'tacocat'.indexOf('a', 3) == 5 && 'tacocat'.indexOf('', 7) == 7", True),
        ("'tacocat'.indexOf('t', 7) == -1 && 'a'.indexOf('aa') == -1", True),
        ("'ta\u00a9o\u00a9\u03b1T'.indexOf('\u00a9', 3) == 4", True),
        ("'tacocat'.indexOf('a', 8) == -1", "error"),
        ("'tacocat'.indexOf('', 8) == 7", "error"),
        ("'tacocat'.indexOf('a', -1) == 1", "error"),
        ("'tacocat'.lastIndexOf('at') == 5 && 'tacocat'.lastIndexOf('x') == -1", True),
        ("'tacocat'.lastIndexOf('') == 7 && 'tacocat'.lastIndexOf('', 3) == 3", True),
        ("'tacocat'.lastIndexOf('a', 3) == 1 && ''.lastIndexOf('@@') == -1", True),
        ("'hello wello'.lastIndexOf('ello', 6) == 1", True),
        ("'bananananana'.lastIndexOf('nana', 7) == 6", True),
        ("'tacocat'.lastIndexOf('a', -1) == -1", "error"),
        ("'tacocat'.lastIndexOf('a', 30) == -1", "error"),
        ("event.data.indexOf('b', event.data.size() - 2) == 9", "error"),
    ],
)
def test_positions_count_characters_of_the_text(text: str, expected: bool | str) -> None:
    """A position beyond the text, or before it, is an error; its end is a position."""
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'TacoC\u00c6t Xii'.lowerAscii() == 'tacoc\u00c6t xii'", True),
        ("'tacoC\u03b1t'.upperAscii() == 'TACOC\u03b1T'", True),
        ("'\u0130\u212a\u00df\u0131'.lowerAscii() == '\u0130\u212a\u00df\u0131'", True),
        ("'\u0130\u212a\u00df\u0131'.upperAscii() == '\u0130\u212a\u00df\u0131'", True),
        ("''.lowerAscii() == '' && '@[`{'.upperAscii() == '@[`{'", True),
        ("' \\f\\n\\r\\t\\vtext  '.trim() == 'text'", True),
        (
            (
                "'\\u0085\\u00a0\\u1680text\\u2000\\u200a\\u2028\\u2029\\u202F\\u205F\\u3000'"
                ".trim() == 'text'"
            ),
            True,
        ),
        ("'\\u180etext\\u200b\\ufeff'.trim() == '\\u180etext\\u200b\\ufeff'", True),
        ("'\\x1ctext\\x1f'.trim() == 'text'", False),
        ("' \\t '.trim() == '' && ''.trim() == ''", True),
    ],
)
def test_case_is_that_of_ascii_and_space_that_of_unicode(text: str, expected: bool) -> None:
    """Python's own functions would change more."""
    assert answer(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'12 days'.replace('{0}', '2') == '12 days'", True),
        ("'{0} days {0} hours'.replace('{0}', '2') == '2 days 2 hours'", True),
        ("'{0} {0}'.replace('{0}', '2', 1).replace('{0}', '23') == '2 23'", True),
        ("'hello'.replace('', '_') == '_h_e_l_l_o_' && ''.replace('', '_') == '_'", True),
        ("'hello'.replace('', '_', 2) == '_h_ello' && 'hello'.replace('l', '') == 'heo'", True),
        ("'hello'.replace('', '_', 6) == '_h_e_l_l_o_'", True),
        ("'hello'.replace('', '_', 5) == '_h_e_l_l_o'", True),
        ("'hello'.replace('l', 'L', 0) == 'hello'", True),
        ("'hello'.replace('l', 'L', -7) == 'heLLo'", True),
        ("'aaa'.replace('aa', 'b') == 'ba' && 'a'.replace('a', 'aa') == 'aa'", True),
        ("'hello'.replace('l', 'L', 9223372036854775807) == 'heLLo'", True),
        ("'1 \u00a9\u03b1T'.replace('\u03b1T', 'o\u00a9\u03b1') == '1 \u00a9o\u00a9\u03b1'", True),
        ("'hello world'.split(' ') == ['hello', 'world']", True),
        ("'a,b,c'.split(',', 0) == [] && 'a,b,c'.split(',', 1) == ['a,b,c']", True),
        ("'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a,b'.split(',', 7) == ['a', 'b']", True),
        ("'o\u00a9o\u00a9o'.split('\u00a9', -1) == ['o', 'o', 'o']", True),
        ("'\U0001f431ab'.split('') == ['\U0001f431', 'a', 'b']", True),
        ("'abc'.split('', 2) == ['a', 'bc'] && 'abc'.split('', 1) == ['abc']", True),
        ("''.split('') == [] && ''.split(',') == [''] && ',a,'.split(',') == ['', 'a', '']", True),
        ("''.split('', 1) == [] && ''.split(',', 1) == ['']", True),
        ("'a'.split(',', 9223372036854775807) == ['a']", True),
        ("['x', 'y'].join() == 'xy' && ['x', 'y'].join('-') == 'x-y'", True),
        ("[].join() == '' && [].join('-') == '' && [''].join('-') == ''", True),
        ("['x', 1].join() == 'x1'", "error"),
        ("['x', null].join('-') == 'x'", "error"),
        ("'a,b'.split(',').join(';') == 'a;b'", True),
        ("'report-7'.split('-').exists(x, x == '7')", True),
    ],
)
def test_texts_are_taken_apart_and_put_together(text: str, expected: bool | str) -> None:
    """As cel-go's functions do: also with an empty part, and with a limit."""
    assert answer(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "(42).charAt(2) == ''",
        "'hello'.charAt(true) == ''",
        "'hello'.charAt(1.0) == 'e'",
        "event.data.indexOf('2') == 0",
        "'hello'.indexOf(true) == 1",
        "'42'.indexOf('4', '0') == 0",
        "'42'.lastIndexOf('4', 1.0) == 0",
        "'42'.replace(2, '1') == '41'",
        "'42'.replace('2', 1) == '41'",
        "'42'.replace('2', '1', '1') == '41'",
        "'42'.split(2) == ['4']",
        "'42'.split('2', '1') == ['4']",
        "'tacocat'.substring(true, 3) == ''",
        "'tacocat'.substring(0, false) == ''",
        "event.data.lowerAscii() == ''",
        "event.data.upperAscii() == ''",
        "event.data.trim() == ''",
        "event.data.join() == ''",
        "'ab'.join() == 'ab'",
        "['a'].join(1) == 'a'",
        "{'a': 1}.join() == 'a'",
        "event.gone.trim() == ''",
    ],
)
def test_other_types_have_no_answer(text: str) -> None:
    """Numbers aren't read as text, and a double is no position."""
    assert answer(text) == "error"


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("event.data.replace('a', 'b').size() > 0", "a" * (LONGEST + 1), True),
        ("event.data.replace('a', 'bb').size() > 0", "a" * (LONGEST // 2), True),
        ("event.data.replace('a', 'bb').size() > 0", "a" * (LONGEST // 2 + 1), "error"),
        ("event.data.replace('', event.data) == ''", "a" * 1_000, "error"),
        ("event.data.replace('a', event.data, 1).size() > 0", "a" * (LONGEST + 1), "error"),
        ("event.data.join('-').size() > 0", ["a"] * (LONGEST // 2), True),
        ("event.data.join('--').size() > 0", ["a"] * (LONGEST // 2), "error"),
    ],
)
def test_what_grows_is_bounded(text: str, data: Any, expected: bool | str) -> None:
    """A result that is longer than its text is as long as `+` may make one, at most."""
    assert answer(text, data) == expected
