"""The page about expressions: each example answers what stands behind it."""

import json
import re
from typing import Any, NamedTuple

import pytest

from streams.errors import EvaluationError, ExpressionError
from streams.matching import Meter, check
from streams.matching.vocabulary import FUNCTIONS, MACROS, METHODS
from tests.repo import tree

PAGE = (tree.ROOT / "docs/expressions.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?P<kind>cel|json)\n(?P<lines>[\s\S]*?)^```$", re.MULTILINE)
EXAMPLE = re.compile(r"(?P<text>.*?) +// (?P<answer>true|false|no answer|refused: .+)")


class Example(NamedTuple):
    """An expression, and what stands behind it."""

    text: str
    answer: str


def examples() -> list[Example]:
    """Every example of the page."""
    found = []
    for block in BLOCK.finditer(PAGE):
        if block["kind"] == "cel":
            for line in block["lines"].splitlines():
                example = EXAMPLE.fullmatch(line)
                assert example is not None, f"no answer behind {line}"
                found.append(Example(example["text"], example["answer"]))
    return found


def events() -> tuple[dict[str, Any], dict[str, Any]]:
    """The two events of the page."""
    block = next(block for block in BLOCK.finditer(PAGE) if block["kind"] == "json")
    both = json.loads(block["lines"])
    return both["event"], both["async"]


def answers(text: str) -> set[str]:
    """What compiled and reference evaluation answer, in the page's words."""
    try:
        expression = check(text)
    except ExpressionError as error:
        return {f"refused: {error.message}"}
    event, async_ = events()
    found = set()
    for evaluate in (expression.evaluate, expression.reference):
        try:
            found.add("true" if evaluate(event, async_, Meter()) else "false")
        except EvaluationError:
            found.add("no answer")
    return found


@pytest.mark.parametrize(("text", "answer"), examples())
def test_each_example_answers_what_the_page_says(text: str, answer: str) -> None:
    """By both evaluations; a refusal has the words of the page in its message."""
    (found,) = answers(text)
    if answer.startswith("refused: "):
        assert found.startswith("refused: ")
        assert answer.removeprefix("refused: ") in found
    else:
        assert found == answer


def test_the_page_shows_all_that_rules_may_use() -> None:
    """Each function, method and macro stands in an example that is no refusal."""
    shown = " ".join(text for text, answer in examples() if not answer.startswith("refused"))
    missing = [name for name in FUNCTIONS if not re.search(rf"(?<!\.)\b{name}\(", shown)]
    missing += [name for name in (*METHODS, *MACROS) if f".{name}(" not in shown]
    assert missing == []
