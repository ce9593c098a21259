"""The answers of expressions, from compiled code and from the reference alike."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streams.errors import EvaluationError
from streams.matching import Meter, limits, parse

EVENT = {
    "name": "order/created",
    "ts": 1732570023717,
    "data": {
        "id": "u1",
        "n": 20,
        "f": 20.0,
        "price": 19.99,
        "big": 2**53 + 1,
        "zero": 0,
        "empty": "",
        "flag": True,
        "nothing": None,
        "text": "???",
        "ids": ["c", "a", "b"],
        "mixed": [1, 2.0, "x", None, True],
        "map": {"k": "v", "n": 1},
        "at": "2026-01-02T03:04:05Z",
        "wait": "1h30m",
        "evil": "a" * 60 + "1",
    },
}
ASYNC = {
    "name": "order/cancelled",
    "data": {
        "id": "u1",
        "n": 20.0,
        "flag": 1,
        "number": "20",
        "nothing": None,
        "hard": True,
        "big": float(2**53),
        "map": {"n": 1.0, "k": "v"},
        "mixed": [1.0, 2, "x", None, True],
    },
}


def answer(text: str, event: dict[str, Any] = EVENT, async_: dict[str, Any] | None = ASYNC) -> Any:
    """The answer on which compiled code and reference agree; "error" where there is none."""
    expression = parse(text)
    answers: list[bool | str] = []
    for evaluate in (expression.evaluate, expression.reference):
        try:
            answers.append(evaluate(event, async_, Meter.off()))
        except EvaluationError:
            answers.append("error")
    assert answers[0] == answers[1], f"{text}: compiled {answers[0]}, reference {answers[1]}"
    return answers[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.id == async.data.id", True),
        ("event.data.id == async.data.other", False),
        ("event.data.other == async.data.id", False),
        ("event.data.other == async.data.other", False),
        ("event.data.nothing == async.data.nothing", False),
        ("event.data.nothing == async.data.other", False),
        ("event.data.id.deeper == async.data.id", False),
        ("event.gone.x == async.data.id", False),
        ("event.data.ids[7] == async.data.id", False),
        ("event.data.id[0] == async.data.id", False),
        ("event.data.ids.a == async.data.id", False),
        ("event.data.other == async.data.other || event.data.id == async.data.id", True),
        ("event.data.id == async.data.id && event.data.other == async.data.other", False),
        ("(event.data.id == async.data.id && (event.data.x == async.data.x))", False),
        ("event.data.x == async.data.x && event.data.y", False),
    ],
)
def test_a_missing_or_null_side_of_an_equality_conjunct_is_false(text: str, expected: bool) -> None:
    """S14: a cancel event without the member doesn't cancel the runs that lack it, too."""
    assert answer(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "!(event.data.other == async.data.other)",
        "event.data.other != async.data.other",
        "(event.data.other == async.data.other) == false",
        "true ? event.data.other == async.data.other : true",
        "event.data.id == async.data.id && (event.data.x == async.data.x || false)",
        "event.data.other == null",
        "event.data.other == 'a'",
        "event.data.other == 0",
        "event.data.other != 'a'",
        "event.data.other < 5",
        "5 > event.data.other",
        "size(event.data.other) == 0",
        "event.data.other in ['a']",
    ],
)
def test_a_missing_member_elsewhere_is_an_error(text: str) -> None:
    """S16: where Inngest takes a zero value, CEL has no answer, and so no match."""
    assert answer(text) == "error"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.nothing == null", True),
        ("event.data.nothing != null", False),
        ("event.data.id != null", True),
        ("null == 'a'", False),
        ("null != 'a'", True),
        ("null < 5", "error"),
        ("null > 0", "error"),
        ("null < 'foo'", "error"),
        ("size(event.data.nothing) == 0", "error"),
        ("has(event.data.nothing)", True),
        ("has(event.data.other)", False),
        ("has(event.other.other)", "error"),
        ("has(event.data.id.other)", "error"),
        ("!has(event.data.other) || event.data.other == 1", True),
        ("has({'a': 1}.a) && !has(event.data.map.z)", True),
        ("null in event.data.mixed", True),
        ("event.data.nothing in [null]", True),
    ],
)
def test_null_is_a_value_and_missing_is_not(text: str, expected: bool | str) -> None:
    """A member that is null exists; only `has` can be asked about a missing member."""
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 == 1.0", True),
        ("event.data.n == async.data.n", True),
        ("4.797009e+06 == 4797009 && 326909.0 == 326909", True),
        ("-0.0 == 0", True),
        ("'1' == 1", False),
        ("'1' != 1", True),
        ("event.data.n == async.data.number", False),
        ("true == 1", False),
        ("event.data.flag == async.data.flag", False),
        ("false == 0 || true == 1.0 || null == false || '' == null", False),
        ("[] == {}", False),
        ("event.data.big == 9007199254740993", True),
        ("event.data.big == 9007199254740992.0", False),
        ("event.data.big == async.data.big", False),
        ("9223372036854775807 == 9223372036854775808.0", False),
        ("event.data.mixed == async.data.mixed", True),
        ("event.data.map == async.data.map", True),
        ("event.data.mixed == [1, 2, 'x', null, 1]", False),
        ("event.data.map == {'k': 'v', 'n': true}", False),
        ("event.data.map == {'k': 'v'}", False),
        ("event.data.ids == ['c', 'a']", False),
        ("'\u00e9' == 'e\u0301'", False),
    ],
)
def test_equality_is_by_value(text: str, expected: bool) -> None:
    """S15: numbers are equal by value across types, other values only within a type."""
    assert answer(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.price > 10", True),
        ("10 < event.data.price", True),
        ("100 < event.data.price", False),
        ("event.data.n >= 20.0 && event.data.n <= 20", True),
        ("event.data.text < 'a' && 'B' < 'a'", True),
        ("false < true", True),
        ("event.data.text > 5", "error"),
        ("event.data.flag < 5", "error"),
        ("event.data.n < true", "error"),
        ("event.data.ids < event.data.ids", "error"),
        ("event.data.n > event.data.price", True),
        ("9007199254740992.0 < event.data.big || event.data.big < 9007199254740992.0", False),
        ("event.data.big > 9007199254740992.0 || 9007199254740992.0 > event.data.big", False),
        ("event.data.big <= 9007199254740992.0 && 9007199254740992.0 >= event.data.big", True),
        ("event.data.big < 9007199254740994.0 && async.data.big < 9007199254740993", False),
        ("event.data.big > 9007199254740992 && 9007199254740994 > event.data.big", True),
        ("9223372036854775807 < 9223372036854775808.0", False),
        ("-9223372036854775808 > -9223372036854777857.0", True),
    ],
)
def test_order_is_defined_within_numbers_strings_and_booleans(
    text: str, expected: bool | str
) -> None:
    """Values of different types have no order: an error, and so no match.

    An int beyond 2^53 is rounded to be ordered with a double, as CEL has it, but not to be equal.
    """
    assert answer(text) == expected


@pytest.mark.parametrize(
    "error", ["event.data.other", "1 / 0 == 1", "1", "event.data.n", "null < 1"]
)
def test_and_and_or_absorb_errors_on_both_sides(error: str) -> None:
    """An operand that decides alone does so on either side of an error."""
    assert answer(f"false && {error}") is False
    assert answer(f"{error} && false") is False
    assert answer(f"true || {error}") is True
    assert answer(f"{error} || true") is True
    assert answer(f"true && {error}") == "error"
    assert answer(f"{error} && true") == "error"
    assert answer(f"false || {error}") == "error"
    assert answer(f"{error} || false") == "error"
    assert answer(f"{error} && {error}") == "error"
    assert answer(f"true && {error} && true && false") is False
    assert answer(f"false || {error} || false || true") is True
    assert answer(f"!({error})") == "error"
    assert answer(f"({error}) ? true : true") == "error"


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "event",
        "event.data.id",
        "event.data.flag ? 1 : 2",
        "null",
        "'true'",
        "[true]",
        "size('a')",
    ],
)
def test_a_result_that_is_no_boolean_is_an_error(text: str) -> None:
    """S16: a value that is no boolean is neither true nor false."""
    assert answer(text) == "error"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false", False),
        ("event.data.flag", True),
        ("!event.data.flag", False),
        ("!!event.data.flag", True),
        ("event.data.flag ? event.data.n == 20 : event.data.other", True),
        ("event.name == 'order/created' && async.name == 'order/cancelled'", True),
        ("event.data.id == 'u1' && event.data.n == 1 || event.data.n == 20", True),
        ("event.data.n == 1 || event.data.id == 'u1' && event.data.n != 3", True),
        ("!(event.data.id == 'u1' && event.data.n == 1)", True),
        ("event.data.id in ['u2', 'u1']", True),
        ("event.data.n in ['20', 20.0]", True),
        ("event.data.n in ['20', '21']", False),
        ("'a' in event.data.ids", True),
        ("3.5 in event.data.mixed", False),
        ("true in [1, 1.0]", False),
        ("'k' in event.data.map && !('z' in event.data.map)", True),
        ("1 in event.data.map", False),
        ("'a' in 'abc'", "error"),
        ("'x' in [event.data.other]", "error"),
        ("event.data.ids[0] == 'c' && event.data.ids[2.0] == 'b'", True),
        ("event.data.ids[event.data.zero] == 'c'", True),
        ("event.data.ids[3] == 'c'", "error"),
        ("event.data.ids[-1] == 'b'", "error"),
        ("event.data.ids[0.5] == 'c'", "error"),
        ("event.data.ids[true] == 'a'", "error"),
        ("event.data.ids['a'] == 'a'", "error"),
        ("event.data.id[0] == 'u'", "error"),
        ("event.data.map[event.data.text] == 1", "error"),
        ("event.data.map['k'] == 'v' && {'a': [1]}.a[0] == 1", True),
        ("'a'.b == 1", "error"),
        ("size(event.data.ids) == 3 && event.data.map.size() == 2 && size('e\u0301') == 2", True),
        ("size(event.data.n) == 1", "error"),
        ("event.data.id.startsWith('u') && event.data.id.endsWith('1')", True),
        ("event.data.text.contains('?') && event.data.empty.contains('')", True),
        ("event.data.ids.contains('a')", "error"),
        ("event.data.id.startsWith(1)", "error"),
        ("event.data.id.matches('^u[0-9]+$') && event.data.id.matches('1')", True),
        ("event.data.n.matches('2')", "error"),
    ],
)
def test_operators_and_functions_follow_the_specification(text: str, expected: bool | str) -> None:
    """CEL as specified, for the values that JSON has."""
    assert answer(text) == expected
    assert parse(text).compiled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.n + 1 == 21 && event.data.f - 0.5 == 19.5 && 3 * 4 == 12", True),
        ("7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1 && -7 % 3 == -1 && 7 % -3 == 1", True),
        ("7.0 / 2.0 == 3.5 && 1.0 / 0.0 > 1e308 && -1.0 / 0.0 < 0.0", True),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", True),
        ("-event.data.n == -20 && -(-1.5) == 1.5", True),
        ("event.data.n + 0.5 == 20.5", "error"),
        ("1 / 0 == 1", "error"),
        ("1 % 0 == 1", "error"),
        ("1.0 % 2.0 == 1.0", "error"),
        ("true + true == 2", "error"),
        ("-true == -1", "error"),
        ("-'a' == 'a'", "error"),
        ("'a' + 1 == 'a1'", "error"),
        ("9223372036854775807 + 1 > 0", "error"),
        ("-(-9223372036854775808) > 0", "error"),
        ("9223372036854775807 * 2 > 0", "error"),
        ("-9223372036854775808 / -1 > 0", "error"),
    ],
)
def test_arithmetic_is_within_one_type_and_64_bits(text: str, expected: bool | str) -> None:
    """Ints neither wrap nor become doubles, and booleans can't be added."""
    assert answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.mixed.exists(x, x == 'x')", True),
        ("event.data.mixed.exists(x, x > 100)", "error"),
        ("event.data.mixed.exists(x, x > 0)", True),
        ("event.data.mixed.all(x, x > 0)", "error"),
        ("event.data.mixed.all(x, x == 1)", False),
        ("event.data.ids.all(i, i in ['a', 'b', 'c'])", True),
        ("event.data.ids.exists_one(i, i == 'a')", True),
        ("event.data.ids.exists_one(i, i < 'c')", False),
        ("event.data.ids.existsOne(i, i == 'a') && ![1, 1].existsOne(i, i == 1)", True),
        ("event.data.mixed.exists_one(x, x > 1)", "error"),
        ("event.data.ids.filter(i, i < 'c') == ['a', 'b']", True),
        ("event.data.ids.filter(i, i) == []", "error"),
        ("event.data.ids.map(i, i + 'x')[0] == 'cx'", True),
        ("event.data.ids.map(i, i.x).size() == 3 || true", True),
        ("event.data.ids.filter(i, i < 'c').exists(i, i == 'b')", True),
        ("event.data.map.all(k, k in ['k', 'n'])", True),
        ("event.data.ids.exists(i, i == async.data.id)", False),
        ("[async.data].exists(d, d.id == event.data.id && d.id == async.data.id)", True),
        ("[event.data].all(d, has(d.id) && !has(d.other) && d.ids[1] == 'a')", True),
        ("event.data.n.exists(x, true)", "error"),
        ("event.data.other.exists(x, true)", "error"),
        ("[].all(x, false) && ![].exists(x, true)", True),
    ],
)
def test_macros_follow_the_specification(text: str, expected: bool | str) -> None:
    """`exists` and `all` absorb errors as `||` and `&&` do; the others don't."""
    assert answer(text) == expected
    assert parse(text).compiled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int('20') == 20 && int(19.99) == 19 && int(-1.5) == -1 && int(event.data.n) == 20", True),
        ("int('1_0') == 10", "error"),
        ("int(' 1') == 1", "error"),
        ("int(1e300) == 1", "error"),
        ("int(1.0 / 0.0) == 1", "error"),
        ("int(0.0 / 0.0) == 1", "error"),
        ("int(-9223372036854775808.0) < 0", "error"),
        ("int(9223372036854775807.0) > 0", "error"),
        ("int(-9223372036854774784.0) == -9223372036854774784", True),
        ("int(9223372036854774784.0) == 9223372036854774784", True),
        ("int('-9223372036854775808') == -9223372036854775808", True),
        ("int('9223372036854775808') == 1", "error"),
        ("double('1e3') == 1000.0 && double(1) == 1.0 && double(1.5) == 1.5", True),
        ("double('nan') == 1.0", "error"),
        ("string(true) == 'true' && string(1.0) == '1' && string(1.5) == '1.5'", True),
        ("string(20) == '20' && string(1e22) == '1e+22' && string('a') == 'a'", True),
        ("string(null) == 'null'", "error"),
        ("bool('true') && !bool('0') && bool(true)", True),
        ("bool('yes')", "error"),
        ("bool(1)", "error"),
        ("int(true) == 1", "error"),
        ("double(null) == 0.0", "error"),
        ("string(event.data.n) == async.data.number", True),
        ("int(async.data.number) == event.data.n", True),
        ("event.data.ids.exists(i, string(i) == 'a')", True),
        ("int('x') == 20 || event.data.n == 20", True),
        ("int('20')", "error"),
    ],
)
def test_conversions_are_strict(text: str, expected: bool | str) -> None:
    """A string is converted only if it is written exactly as CEL writes the value."""
    assert answer(text) == expected
    assert parse(text).compiled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timestamp(event.data.at) == timestamp('2026-01-02T04:04:05+01:00')", True),
        ("timestamp(event.data.at) < timestamp('2026-01-02T03:04:05.5Z')", True),
        ("timestamp(event.data.at) - timestamp('2026-01-02T00:00:00Z') > duration('3h')", True),
        ("timestamp(event.data.at) + duration('1h') > timestamp(event.data.at)", True),
        ("timestamp(0) == timestamp('1970-01-01T00:00:00Z')", True),
        ("int(timestamp(60)) == 60", True),
        ("timestamp(timestamp(60)) == timestamp(60)", True),
        ("timestamp('now') > timestamp(0)", "error"),
        ("timestamp('10:00') > timestamp(0)", "error"),
        ("timestamp('2026-13-01T00:00:00Z') > timestamp(0)", "error"),
        ("timestamp(9223372036854775807) > timestamp(0)", "error"),
        ("timestamp(0) == 0 || timestamp(0) == duration('0s')", False),
        ("timestamp(0) < 1", "error"),
        ("timestamp(0) + timestamp(0) == timestamp(0)", "error"),
        ("timestamp(event.data.at).getHours() == 3", True),
        ("timestamp(event.data.at).getHours('Asia/Tokyo') == 12", True),
        ("timestamp(event.data.at).getHours('Nowhere/At_All') == 12", "error"),
        ("timestamp(event.data.at).getHours('../../etc/passwd') == 12", "error"),
        ("timestamp(event.data.at).getHours(event.data.n) == 12", "error"),
        ("duration('90m').getHours() == 1", True),
        ("duration(event.data.wait) == duration('5400s')", True),
        ("timestamp(event.data.at) + duration(event.data.wait) > timestamp(event.data.at)", True),
        ("duration(duration(event.data.wait)) == duration('1h30m')", True),
        ("duration(event.data.id) == duration('1h')", "error"),
        ("duration(event.data.evil) == duration('1h')", "error"),
        ("duration(event.data.n) == duration('20s')", "error"),
        ("duration(event.data.id) == duration('1h') || true", True),
        ("event.data.ids.exists(i, i == 'a' && duration(event.data.wait) > duration('1h'))", True),
        ("duration('90m').getHours('UTC') == 1", "error"),
        ("event.data.id.getHours() == 1", "error"),
        ("event.data.ids.exists(i, timestamp(0) == timestamp(0) && i == event.data.ids[1])", True),
        ("event.data.ids.exists(i, i == async.data.id) || timestamp(0) > timestamp(0)", False),
        ("event.data.ids.exists(i, timestamp(i) == 1) || true", True),
        ("event.data.ids.map(i, timestamp(i)) == [] || true", True),
        ("event.data.ids.filter(i, timestamp(0)) == [] || true", True),
        ("event.data.mixed.all(i, timestamp(i) > timestamp(2)) || true", True),
        ("event.data.ids.exists_one(i, string(timestamp(0)) != i && i == 'a')", True),
        ("has(event.data.at) && timestamp(event.data.at) > timestamp(event.data.zero)", True),
        ("[has(event.data.other), timestamp(event.data.ids[0]) == event] == []", "error"),
        ("[has(event.data.other), timestamp(0) == event.data.ids[1]] == [false, false]", True),
        ("[has(async.data.id), timestamp(0) == event.data] == [true, false]", True),
        ("event.data.id == async.data.id && int(timestamp(20)) == event.data.n", True),
        ("event.data.other == 1 && int(timestamp(20)) == 21", False),
        ("int(timestamp(20)) == 20 || event.data.other == 1", True),
    ],
)
def test_times_are_left_to_celpy(text: str, expected: bool | str) -> None:
    """Times are evaluated by celpy, strictly, and with the same answer at any time."""
    assert answer(text) == expected
    assert not parse(text).compiled


def test_without_a_cancel_event_its_members_are_missing() -> None:
    """An expression that reads `async` can be evaluated without a cancel event."""
    assert answer("event.data.id == async.data.id", EVENT, None) is False
    assert answer("async.data.id == 'a'", EVENT, None) == "error"
    assert answer("async == null", EVENT, None) is True


@pytest.mark.parametrize("container", [list, dict])
def test_values_nested_beyond_the_limit_have_no_equality(container: type) -> None:
    """The answer doesn't depend on how much of its stack the caller has used."""

    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value] if container is list else {"a": value}
        return {"a": value}

    deepest = limits.VALUE_DEPTH
    assert answer("event.a == async.a", nested(deepest), nested(deepest)) is True
    assert answer("event.a == async.a", nested(deepest + 1), nested(deepest + 1)) == "error"
    assert answer("event.a == async.a", nested(deepest + 1), nested(0)) is False
    assert answer("size(event.a) == 1", nested(100_000), nested(0)) is True


def test_what_grows_is_bounded() -> None:
    """An event can't make an expression take seconds or gigabytes."""
    items: dict[str, Any] = {"s": "a" * limits.CONCATENATION_LENGTH}
    assert answer("event.s + 'a' == 'a'", items) == "error"
    assert answer("event.s + '' == event.s", items) is True


def test_one_expression_is_evaluated_by_many_threads() -> None:
    """Routers and joiners of one process share the cached expressions."""
    text = "event.a == async.a && [event.a].exists(x, x == async.a) && timestamp(event.a) != null"
    expression = parse(text)

    def evaluated(number: int) -> bool:
        event = {"a": number}
        same = expression.evaluate(event, {"a": number}, Meter())
        return same and not expression.evaluate(event, {"a": number + 1}, Meter())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(evaluated, range(101)))
