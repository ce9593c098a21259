"""The runner of CEL's conformance suite, on texts of our own."""

from typing import Any

import pytest

from streams.matching.times import Duration, Timestamp
from tests.conformance import report
from tests.conformance.cases import Case, cases_of
from tests.conformance.engine import Answer
from tests.conformance.grades import Grade, grade_of, graded
from tests.conformance.scope import asked_of_event, without_meaning
from tests.conformance.textproto import Message, TextError, parse
from tests.conformance.values import ERROR, same

SUITE = r"""
# proto-message: SimpleTestFile
name: "tiny"
section {
  name: "one"
  test { name: "sum" expr: "1 + 1" value: { int64_value: 2 } }
  test: { name: "sum", expr: '2 + 2', value { int64_value: 5 } }
  test { name: "true" expr: "x.y == 'a\\n' && size(z) == 2"
    type_env { name: "x" ident { type { primitive: INT64 } } }
    bindings { key: "x" value { value { map_value {
      entries { key { string_value: "y" } value { string_value: "a\n" } } } } } }
    bindings { key: "z" value { value { list_value {
      values { null_value: NULL_VALUE } values { double_value: -1e+3 } } } } }
  }
  test { name: "error" expr: "1 / 0" eval_error { errors { message: "divide by zero" } } }
  test { name: "no bytes" expr: "b'a' == x" value { bool_value: true } }
  test { name: "no unsigned" expr: "1" value { uint64_value: 1 } }
  test { name: "checked" expr: "1" check_only: true }
  test { name: "misspelt" expr: "sizee('a')" value { int64_value: 1 } }
  test { name: "no overload" expr: "1 + true" value { int64_value: 2 } }
  test { name: "not closed" expr: "'a" "b" value { string_value: "a" } }
  test { name: "lag" expr: "x - y < duration('2s')"
    bindings { key: "x" value { value { object_value {
      [type.googleapis.com/google.protobuf.Timestamp] { seconds: 2 nanos: 5 } } } } }
    bindings { key: "y" value { value { object_value {
      [type.googleapis.com/google.protobuf.Timestamp] { seconds: 1 } } } } }
  }
}
"""
EXTENSION = """
section { name: "s"
  test { name: "trim" expr: "' a '.trim() == 'a'" }
  test { name: "quote" expr: "strings.quote('a') == 'a'" }
}
"""


def test_a_file_is_read_graded_and_counted() -> None:
    """Each case has one grade, and the figures add up."""
    results = [graded(case) for case in cases_of("tiny", SUITE)]
    assert {r.case.id: r.grade.value for r in results} == {
        "tiny/one/sum": "right",
        "tiny/one/sum/2": "wrong",
        "tiny/one/true": "right",
        "tiny/one/error": "right",
        "tiny/one/no bytes": "out",
        "tiny/one/no unsigned": "out",
        "tiny/one/checked": "out",
        "tiny/one/misspelt": "documented",
        "tiny/one/no overload": "errs",
        "tiny/one/not closed": "refused",
        "tiny/one/lag": "right",
    }
    assert report.figures(results) == {
        "in_scope": 8,
        "right": 4,
        "documented": 1,
        "refused": 1,
        "wrong": 2,
        "extensions": {},
    }
    assert [line.split(": ")[:2] for line in report.unlike(results)] == [
        ["wrong", "tiny/one/sum/2"],
        ["documented", "tiny/one/misspelt"],
        ["errs", "tiny/one/no overload"],
        ["refused", "tiny/one/not closed"],
    ]
    assert any("bytes 1" in line for line in report.table(results))


def test_an_extension_counts_for_itself_and_only_for_what_is_in_scope() -> None:
    """Functions that nobody was promised don't count."""
    cases = cases_of("string_ext", EXTENSION)
    assert [case.left_out for case in cases] == ["", "other functions of the extension"]
    results = [graded(case) for case in cases]
    figures = report.figures(results)
    assert figures["in_scope"] == 0
    assert figures["extensions"]["string_ext"]["in_scope"] == 1
    assert cases_of("proto3", EXTENSION)[0].left_out == "protobuf messages"


def test_what_passes_no_longer_and_what_passes_anew_is_named() -> None:
    """The list of ids is exact."""
    assert report.changes({"a", "b"}, {"b", "c"}) == [
        "LOST: a passed before",
        "NEW: c passes now; --write keeps it",
    ]
    assert report.changes({"a"}, {"a"}) == []


def test_ways_to_ask_that_disagree_are_wrong() -> None:
    """S17: it isn't enough that one of them is right."""
    case = Case("a/b/c", "", "1", want=1)
    assert grade_of(case, Answer(value=1)) is Grade.RIGHT
    assert grade_of(case, Answer(value=1, disagree="compiled: 1, celpy: 2")) is Grade.WRONG


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r'a: "\x41\101\u00e9\n" "b"', b"AA\xc3\xa9\nb"),
        ("a: 'it''s'", b"its"),
        ("a: -0x1F", "-0x1F"),
        ("a: - 1.5e3f", "- 1.5e3f"),
        ("a: -inf", "-inf"),
        ("a: NULL_VALUE # said", "NULL_VALUE"),
        ("a < b: 1 >", Message((("b", "1"),))),
        ("a {}", Message()),
    ],
)
def test_text_format_is_read(text: str, found: object) -> None:
    """Scalars stay as they are written, strings are bytes."""
    assert parse(text).every("a") == [found]


def test_lists_and_addresses_are_read() -> None:
    """`[1, 2]` is two values; the name of an `Any` is its address."""
    assert parse("a: [1, 2], a: 3;").every("a") == ["1", "2", "3"]
    assert parse("[x/y.Z] { a: 1 }").fields == (("x/y.Z", Message((("a", "1"),))),)


@pytest.mark.parametrize("text", ["a: @", "a {", "a: "])
def test_what_is_no_text_format_is_refused(text: str) -> None:
    """Nothing of the suite may be passed over in silence."""
    with pytest.raises(TextError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1u < 2u", "uint"),
        ("b'a' == rb'a'", "bytes"),
        ("bytes('a') == x", "bytes"),
        ("type(1) == int", "type()"),
        ("a.?b", "optional syntax"),
        ("{1: 2}", "map keys that are no strings"),
        ("{'a': {true: 1}}", "map keys that are no strings"),
        ("TestAllTypes{a: 1}", "protobuf messages"),
        (".a == 1", "namespaces"),
        ("{'a': 1, b: -1}['a'] == int('1')", None),
        ("x in {'a': 1}", None),
        ("r'b\\' == 'b' ? 1 : 2 // 1u", None),
    ],
)
def test_what_has_no_meaning_for_json_is_left_out(text: str, why: str | None) -> None:
    """By the tokens of an expression."""
    assert without_meaning(text) == why


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("x + a.x == x", "event.x + a.x == event.x"),
        ("[1].all(x, x > y) && x", "[1].all(x, x > event.y) && event.x"),
        ("'x' + t", "'x' + timestamp(\"1970-01-01T00:00:00Z\")"),
    ],
)
def test_bound_names_are_asked_of_the_event(text: str, asked: str) -> None:
    """But for what a macro binds itself."""
    literals = {"t": 'timestamp("1970-01-01T00:00:00Z")'}
    assert asked_of_event(text, frozenset("xyt"), literals) == asked


def test_a_macro_that_binds_the_name_of_a_package_is_in_scope() -> None:
    """The name isn't looked up in the package."""
    text = """section { name: "s"
      test { name: "bound" expr: "[1].all(y, y == 1)" container: "com"
        bindings { key: "com.y" value { value { int64_value: 2 } } } }
      test { name: "free" expr: "[1].all(x, x == y)" container: "com"
        bindings { key: "com.y" value { value { int64_value: 1 } } } }
    }"""
    assert [case.left_out for case in cases_of("namespace", text)] == ["", "namespaces"]


@pytest.mark.parametrize(
    ("want", "got", "equal"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        ([1, {"a": 1.0}], [1, {"a": 1.0}], True),
        ([1, {"a": 1.0}], [1, {"a": 1}], False),
        (Duration(1), Timestamp(1), False),
        (ERROR, ERROR, True),
        (None, ERROR, False),
    ],
)
def test_values_are_compared_type_for_type(want: Any, got: Any, equal: bool) -> None:
    """CEL calls 1 and 1.0 equal; an answer must be the wanted one."""
    assert same(want, got) is equal
