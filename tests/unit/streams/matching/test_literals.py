"""Strings, signs and names in backticks, as the specification has them."""

from typing import Any

import pytest

from streams.errors import EvaluationError
from streams.matching import Meter, parse


def answer(text: str, event: dict[str, Any]) -> bool | str:
    """The answer of compiled and reference evaluation; "error" where there is none."""
    expression = parse(text)
    answers: list[bool | str] = []
    for evaluate in (expression.evaluate, expression.reference):
        try:
            answers.append(evaluate(event, event, Meter.off()))
        except EvaluationError:
            answers.append("error")
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r"""'\a\b\f\n\r\t\v\\\'\"\?\`'""", "\a\b\f\n\r\t\v\\'\"?`"),
        (r'"\x41\X41\X7a\101\377\u0041\U00000041"', "AAzA\xffAA"),
        (r"""r'a\"b'""", 'a\\"b'),
        (r'''R"a\'b\?"''', "a\\'b\\?"),
        (r"r'a\'", "a\\"),
        (r"r'\' + r'\'", "\\\\"),
        (r"[r'\', 'b'][0]", "\\"),
        (r'''r"""a\"b"""''', 'a\\"b'),
        ("r'''a\n\\'''", "a\n\\"),
        (r'''"""a\"""b"""''', 'a"""b'),
        (r'''"""a""b"""''', 'a""b'),
        ("''" + "''" + "a" + "''" + "'", "'a"),
        (r'''"""\\"""''', "\\"),
        ("''", ""),
        ('""""""', ""),
        ("r''''''", ""),
        ("'/* no comment // '", "/* no comment // "),
    ],
)
def test_a_string_is_read_to_its_end_and_no_further(literal: str, value: str) -> None:
    """A raw string ends at its quote, also behind a backslash; other strings read escapes."""
    event = {"value": value, "other": "''"}
    assert answer(f"({literal}) == event.value", event) is True
    assert answer(f"event.value in [{literal}] && 'a' in ['a'] && \"'\" != r\"\\\"", event) is True
    assert answer(f"event.other == {literal} || event.other == \"''\"", event) is True


def test_in_may_follow_a_string_without_a_space() -> None:
    """Everything else that is glued to a raw string is a mistake."""
    assert answer(r"r'\'in event.values && 'a'in ['a']", {"values": ["\\"]}) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.`content-type` == 'text/csv'", True),
        ("event.`a.b`.`c d` == 1 && event['a.b']['c d'] == 1", True),
        ("has(event.`content-type`) && !has(event.`content-length`)", True),
        ("event.`content-length` == 1", "error"),
        ("{'x/y': 1}.`x/y` == 1 && [event].exists(e, e.`a.b`.`c d` == 1)", True),
        ("event.`true` == event.`in`", True),
        ("event.`content-type` == async.`content-type`", True),
        ("event. `content-type` .size() == 8", True),
    ],
)
def test_a_name_in_backticks_is_a_member(text: str, expected: bool | str) -> None:
    """As an index by the name is, also to the index of pending runs."""
    event = {"content-type": "text/csv", "a.b": {"c d": 1}, "true": 2, "in": 2.0}
    assert answer(text, event) == expected
    assert parse(text).compiled
    assert parse("event.`a-b` == async.x").branches == parse("event['a-b'] == async.x").branches


@pytest.mark.parametrize("text", ["!" * 32 + "true", "-" * 31 + "1 == -1"])
def test_a_literal_takes_as_many_signs_as_the_specification_wants(text: str) -> None:
    """A literal and its sign are one level."""
    assert answer(text, {}) is True
