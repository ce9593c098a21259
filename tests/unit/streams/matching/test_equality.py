"""Which equality conjuncts an expression is indexed by."""

import pytest

from streams.matching import Branch, parse

A = (("data", "a"), ("data", "a"))
B = (("data", "b"), ("data", "b"))
A_EQUAL = "event.data.a == async.data.a"
B_EQUAL = "event.data.b == async.data.b"


def branch(*pairs: tuple[tuple[str | int, ...], tuple[str | int, ...]], exact: bool) -> Branch:
    """A branch of these pairs."""
    return Branch(pairs, exact)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A_EQUAL, [branch(A, exact=True)]),
        ("async.data.a == event.data.a", [branch(A, exact=True)]),
        ("((event.data.a)) == (async.data.a)", [branch(A, exact=True)]),
        ("event.data['a'] == async['data'].a", [branch(A, exact=True)]),
        (f"{A_EQUAL} && {B_EQUAL}", [branch(A, B, exact=True)]),
        (f"{B_EQUAL} && ({A_EQUAL})", [branch(A, B, exact=True)]),
        (f"{A_EQUAL} && {A_EQUAL}", [branch(A, exact=True)]),
        ("dyn(event.data.a) == async.data.a", [branch(A, exact=True)]),
        ("dyn(async.data).a == dyn(dyn(event.data.a))", [branch(A, exact=True)]),
        (f"dyn({A_EQUAL}) && {B_EQUAL}", [branch(A, B, exact=True)]),
        (
            f"{A_EQUAL} && event.l.exists(x, x.exists(y, {B_EQUAL}))",
            [branch(A, exact=False)],
        ),
        (f"({A_EQUAL} && (async.data.n > 1 && {B_EQUAL}))", [branch(A, B, exact=False)]),
        (f"{A_EQUAL} && event.name == 'x'", [branch(A, exact=False)]),
        (f"{A_EQUAL} && event.data.a == event.data.b", [branch(A, exact=False)]),
        (f"{A_EQUAL} && !({B_EQUAL})", [branch(A, exact=False)]),
        (f"{A_EQUAL} && ({B_EQUAL} || true)", [branch(A, exact=False)]),
        (f"{A_EQUAL} && event.l.exists(x, x == async.data.b)", [branch(A, exact=False)]),
        (f"{A_EQUAL} && int(event.data.n) == 1", [branch(A, exact=False)]),
        (f"{A_EQUAL} || {B_EQUAL}", [branch(A, exact=True), branch(B, exact=True)]),
        (
            f"({A_EQUAL} || ({B_EQUAL} && event.x)) || {A_EQUAL} && {B_EQUAL}",
            [branch(A, exact=True), branch(B, exact=False), branch(A, B, exact=True)],
        ),
        (
            "event.data.ids[1] == async.data.id",
            [branch((("data", "ids", 1), ("data", "id")), exact=True)],
        ),
        (
            "event.b == async.k && event.a == async.k && event.z == async.c",
            [branch((("z",), ("c",)), (("a",), ("k",)), (("b",), ("k",)), exact=True)],
        ),
    ],
)
def test_equality_conjuncts_become_keys(text: str, expected: list[Branch]) -> None:
    """Each `||` branch has its own pairs, ordered by the member of the cancel event."""
    expression = parse(text)
    assert list(expression.branches) == expected
    assert expression.indexed
    assert expression.exact is all(branch.exact for branch in expected)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "event.data.a == 'x'",
        "async.data.a == 'x' && event.data.a == 'x'",
        "event.data.a == event.data.b",
        "event == async",
        "event.data == async",
        "event.data.a != async.data.a",
        "event.data.a <= async.data.a && event.data.a >= async.data.a",
        f"!({A_EQUAL})",
        f"!(!({A_EQUAL}))",
        f"!({A_EQUAL} && {B_EQUAL})",
        f"({A_EQUAL}) == true",
        f"event.x ? {A_EQUAL} : {A_EQUAL}",
        f"event.l.all(x, {A_EQUAL})",
        f"event.l.all(x, x.all(y, {A_EQUAL}))",
        "{event.data.a: 1}[event.data.a] == async.data.a",
        "event.data.a.trim() == async.data.a",
        f"{A_EQUAL} || event.data.b == 1",
        f"{A_EQUAL} || true",
        f"({A_EQUAL} || {B_EQUAL}) && event.x",
        "event.data[event.data.k] == async.data.a",
        "event.data.l[-1] == async.data.a",
        "event.data.l[1.0] == async.data.a",
        "event.data.a + 1 == async.data.a",
        "event.data.a in [async.data.a]",
    ],
)
def test_an_expression_without_an_equality_in_every_branch_must_scan(text: str) -> None:
    """If a branch has no equality, an index by the others would leave out its matches."""
    expression = parse(text)
    assert expression.branches == ()
    assert not expression.indexed
    assert not expression.exact


def test_rules_that_read_the_same_members_share_their_order() -> None:
    """The router computes one key per set of members of a cancel event."""
    one = parse("event.a == async.x && event.b == async.y[2] && event.c == async.y[10]")
    other = parse("async.y[10] == event.f && async.x == event.g && async.y[2] == event.h")
    assert one.branches[0].async_paths == other.branches[0].async_paths
    assert one.branches[0].async_paths == (("x",), ("y", 2), ("y", 10))
    assert other.branches[0].event_paths == (("g",), ("h",), ("f",))
