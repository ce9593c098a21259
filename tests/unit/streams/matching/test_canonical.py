"""Match keys: reading values, and their bytes."""

from itertools import combinations
from typing import Any

import pytest

from streams.errors import EvaluationError
from streams.matching import canonical, extractor, limits, values

DOCUMENT = {
    "id": "u1",
    "data": {"id": "u1", "n": 1, "null": None, "list": ["a", {"b": 2}], "text": "abc", "no": False},
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((("data", "id"),), ("u1",)),
        ((("id",),), ("u1",)),
        ((("data", "n"), ("data", "id")), (1, "u1")),
        ((("data", "list", 1, "b"),), (2,)),
        ((("data", "list", 1, "b"), ("id",)), (2, "u1")),
        ((("data", "no"),), (False,)),
        ((("data", "null"),), None),
        ((("data", "gone"),), None),
        ((("gone", "id"),), None),
        ((("gone",),), None),
        ((("id", "id"),), None),
        ((("data", "list", "a"),), None),
        ((("data", "list", 2),), None),
        ((("data", "text", 0),), None),
        ((("data", 0),), None),
        ((("data", "id"), ("data", "gone")), None),
        ((("data", "id"), ("data", "null")), None),
        ((("data", "id"), ("id", "gone")), None),
    ],
)
def test_values_are_read_or_missing(
    paths: tuple[tuple[str | int, ...], ...], expected: tuple[Any, ...] | None
) -> None:
    """If a member is missing or null, there is no key (S14)."""
    assert values(paths, DOCUMENT) == expected
    assert extractor(paths)(DOCUMENT) == expected


@pytest.mark.parametrize(
    "alike",
    [
        [1, 1.0, 1e0],
        [0, 0.0, -0.0],
        [2**53, float(2**53)],
        [10**20, 1e20],
        [[1, {"a": 2.0}], [1.0, {"a": 2}]],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
        [1e308, int(1e308)],
    ],
)
def test_equal_values_have_equal_bytes(alike: list[Any]) -> None:
    """S15: in whatever way a producer writes a value, its key is the same."""
    assert len({canonical((value,)) for value in alike}) == 1
    assert len({canonical((value, "x")) for value in alike}) == 1


def test_different_values_have_different_bytes() -> None:
    """A cancel with one of these values must not find runs with another."""
    different: list[Any] = [
        *(1, "1", True, "true", "b1", "i1;", 1.5, "f1.5", 0, False, None, "null", "n", ""),
        *([], {}, [[]], [None], [1], ["1"], [True], {"a": 1}, {"a": None}, {"a": True}),
        *(
            ["a", "b"],
            ["ab"],
            ["a,b"],
            [["a"], "b"],
            [["a", "b"]],
            {"a": "b"},
            "s1:a",
            "l0:",
            "m0:",
        ),
        *(
            2**53,
            2**53 + 1,
            2**63,
            2**63 - 1,
            -(2**63),
            1e300,
            "é",
            "e\u0301",
            "\ud800",
            "\U0001f431",
        ),
    ]
    for left, right in combinations(different, 2):
        assert canonical((left,)) != canonical((right,)), (left, right)
        assert canonical((left, 1)) != canonical((right, 1)), (left, right)


def test_keys_of_several_values_keep_them_apart() -> None:
    """No value can shift the border between two values, or change their number."""
    keys = [
        *(("a", "b"), ("ab", ""), ("", "ab"), ("b", "a"), ("ab",), (["a", "b"],), ("a", "b", "")),
        *((1, 2), (12,), ("1", "2"), (1, "2"), ((),), ()),
    ]
    encoded = [canonical(key) for key in keys if key != ((),)]
    assert len(set(encoded)) == len(encoded)


def test_strings_are_taken_as_they_are() -> None:
    """A key contains its string unchanged, so that operators can look keys up by hand."""
    assert canonical(("u1",)) == b"su1"
    assert canonical(("é",)) == b"s\xc3\xa9"
    assert canonical((42,)) == b"i42;"
    assert canonical(("a", 1.0)) == b"ts1:ai1;"


def test_what_has_no_equality_has_no_key() -> None:
    """A value that is nested too deep, or is no JSON value, is an error."""
    value: Any = 1
    for _ in range(limits.VALUE_DEPTH):
        value = [value]
    assert canonical((value,)).startswith(b"l1:")
    with pytest.raises(EvaluationError, match="nested over 64 levels"):
        canonical(([value],))
    with pytest.raises(EvaluationError, match="bytes is not a JSON type"):
        canonical((b"a",))
