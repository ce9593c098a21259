"""The short form of a cancel rule: `match: data.id`."""

import pytest

from streams.errors import ExpressionError
from streams.matching import match_expression, parse


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("data.reportId", ("data", "reportId")),
        ("user", ("user",)),
        ('data["report-id"].v', ("data", "report-id", "v")),
        ("data['a b']", ("data", "a b")),
        ("user.ids[0]", ("user", "ids", 0)),
    ],
)
def test_a_path_is_written_out_as_an_exact_equality(
    path: str, segments: tuple[str | int, ...]
) -> None:
    """`match: P` means `event.P == async.P`, which equal keys decide."""
    text = match_expression(path)
    assert text == f"event.{path} == async.{path}"
    (branch,) = parse(text).branches
    assert branch.pairs == ((segments, segments),)
    assert branch.exact


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("", 0),
        (".a", 0),
        ("[0]", 0),
        ("a..b", 1),
        ("a.", 1),
        ("a b", 1),
        (" a", 0),
        ('a["x"]b', 6),
        ("a == b", 1),
        ("a.f(x)", 3),
        ("a || true", 1),
        ("a[-1]", 1),
        ('a["x', 1),
        ('a["x\\"]', 1),
        ("a\n", 1),
        ("0a", 0),
        ("é", 0),
    ],
)
def test_what_is_no_path_is_refused_with_its_place(path: str, position: int) -> None:
    """No text but a path of members gets into the expression."""
    with pytest.raises(ExpressionError, match="path") as caught:
        match_expression(path)
    assert caught.value.position == position


def test_reserved_words_in_a_path_are_refused() -> None:
    """A path that would give no valid expression is refused."""
    with pytest.raises(ExpressionError, match="reserved word"):
        match_expression("data.in")
