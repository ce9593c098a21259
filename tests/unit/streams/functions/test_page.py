"""What the page about functions shows is accepted, or refused, as it says."""

import re

import pytest

from streams.errors import DefinitionError
from streams.functions.definition import read_text
from tests.repo import tree
from topology.records import Function

PAGE = (tree.ROOT / "docs/functions.md").read_text(encoding="utf-8")
REFUSED, INSTEAD = zip(
    *re.findall(r"^\| `(\{.*?\})` \| .* \| `(\{.*?\})`.* \|$", PAGE, re.MULTILINE), strict=True
)


def apply(rule: str) -> Function:
    """Read a function with this cancel rule."""
    text = f"functions: [{{id: f, app: a, triggers: [{{event: e}}], cancel_on: [{rule}]}}]"
    (function,) = read_text(text)
    return function


def test_the_example_has_every_field() -> None:
    """It is what most people begin with."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (function,) = read_text(example)
    assert len(function.cancel_on) == 4
    assert function.cancel_on[-1].all_runs
    for name in ("start_timeout_ms", "finish_timeout_ms", "lease_ms"):
        assert getattr(function, name)


@pytest.mark.parametrize("rule", REFUSED)
def test_what_the_page_calls_refused_is(rule: str) -> None:
    """Each row of its table."""
    with pytest.raises(DefinitionError):
        apply(rule)


@pytest.mark.parametrize("rule", INSTEAD)
def test_what_the_page_tells_to_write_is_accepted(rule: str) -> None:
    """Each row of its table."""
    assert len(apply(rule).cancel_on) == 1
