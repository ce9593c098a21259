"""Properties of matching for any expression and any pair of events."""

from collections.abc import Callable
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from streams.errors import BudgetError, EvaluationError, ExpressionError
from streams.matching import Expression, Meter, canonical, extractor, parse, values
from tests.support import strategies

Document = dict[str, Any]


def parsed(text: str) -> Expression:
    """Parse an expression of a strategy; the rare ones that break a limit are passed over."""
    try:
        return parse(text)
    except ExpressionError as error:
        assume("nested over" not in error.message and "macros nested" not in error.message)
        raise


def answer(
    evaluate: Callable[[Document, Document, Meter], bool], event: Document, async_: Document
) -> Any:
    """The verdict, or "error" where there is none."""
    try:
        return evaluate(event, async_, Meter.off())
    except EvaluationError:
        return "error"


def refused(text: str) -> ExpressionError | None:
    """The error of a text that is refused, else None."""
    try:
        parse(text)
    except ExpressionError as error:
        return error
    return None


@settings(max_examples=250, deadline=None)
@given(strategies.expressions, strategies.document_pairs())
@example("event == async", ({"name": "a"}, {"name": "a"}))
@example(
    "event.data.a[0] == async.data.a || event.name", ({"data": {"a": "b"}}, {"data": {"a": "b"}})
)
def test_compiled_and_reference_evaluation_agree(
    text: str, events: tuple[Document, Document]
) -> None:
    """S17: closures answer as celpy does for every expression, also with an error."""
    event, async_ = events
    expression = parsed(text)
    expected = answer(expression.reference, event, async_)
    assert answer(expression.evaluate, event, async_) == expected, text


@settings(max_examples=250, deadline=None)
@given(
    strategies.expressions,
    strategies.document_pairs(),
    st.integers(min_value=0, max_value=200_000),
)
def test_a_budget_ends_an_evaluation_and_changes_no_answer(
    text: str, events: tuple[Document, Document], budget: int
) -> None:
    """S37: an evaluation has the answer that it has without a budget, or none; never another."""
    event, async_ = events
    expression = parsed(text)
    for evaluate in (expression.evaluate, expression.reference):
        meter = Meter(each=budget)
        try:
            answered: Any = evaluate(event, async_, meter)
        except EvaluationError:
            answered = "error"
        except BudgetError:
            assert meter.spent <= budget
            continue
        assert answered == answer(evaluate, event, async_)
        assert meter.spent <= budget


@settings(max_examples=250, deadline=None)
@given(strategies.expressions, strategies.document_pairs())
def test_the_index_never_omits(text: str, events: tuple[Document, Document]) -> None:
    """A match has equal keys in a branch; equal keys in an exact branch are a match."""
    event, async_ = events
    expression = parsed(text)
    assume(expression.indexed)
    hits = [
        branch
        for branch in expression.branches
        if (left := values(branch.event_paths, event)) is not None
        and (right := values(branch.async_paths, async_)) is not None
        and canonical(left) == canonical(right)
    ]
    expected = answer(expression.reference, event, async_)
    if expected is True:
        assert hits, text
    if any(branch.exact for branch in hits):
        assert expected is True, text


@settings(max_examples=250, deadline=None)
@given(strategies.values, strategies.values)
@example(2**53 + 1, float(2**53))
@example(2**63, 2.0**63)
@example([1, True], [1.0, 1])
@example({"a": -0.0}, {"a": 0})
@example(["a", "b"], ["ab"])
@example("l1:sa", ["a"])
def test_canonical_bytes_are_equal_exactly_where_values_are(left: Any, right: Any) -> None:
    """S15: values have equal bytes exactly if CEL calls them equal, alone or in a longer key."""
    expression = parse("event.x == async.x || (event.x == null && async.x == null)")
    equal = expression.reference({"x": left}, {"x": right}, Meter.off())
    assert (canonical((left,)) == canonical((right,))) is equal
    assert (canonical((left, "a")) == canonical((right, "a"))) is equal
    assert (canonical(("a", left)) == canonical(("a", right))) is equal


@given(st.lists(strategies.values, max_size=3), st.lists(strategies.values, max_size=3))
def test_keys_of_several_values_are_equal_exactly_where_each_value_is(
    left: list[Any], right: list[Any]
) -> None:
    """The border between two values of a key is never lost."""
    each = len(left) == len(right) and all(
        canonical((a,)) == canonical((b,)) for a, b in zip(left, right, strict=True)
    )
    assert (canonical(tuple(left)) == canonical(tuple(right))) is each


@given(strategies.expressions, strategies.documents)
def test_extractors_give_what_values_gives(text: str, document: Document) -> None:
    """An extractor reads the same members as `values` does."""
    for branch in parsed(text).branches:
        for paths in (branch.event_paths, branch.async_paths):
            assert extractor(paths)(document) == values(paths, document)


@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "event",
                "async",
                ".",
                "a",
                "==",
                "&&",
                "||",
                "!",
                "-",
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                ",",
                ":",
                "?",
                "1",
                "1.5",
                '"a"',
                "in",
                "has",
                "size",
                "true",
                "null",
                "exists",
                " ",
                "x",
                "//",
                '"',
                "'",
            ]
        ),
        max_size=14,
    ).map("".join)
)
def test_any_text_is_parsed_or_refused_with_a_place(text: str) -> None:
    """Only ExpressionError is raised, and its place lies in the text."""
    refusal = refused(text)
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert refusal.line >= 1
        assert refusal.column >= 1
