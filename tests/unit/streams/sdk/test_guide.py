"""The examples of the guide do what it says."""

import re

from tests.repo import tree

GUIDE = "docs/sdk.md"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_python_of_the_guide_runs() -> None:
    """One block after the other, as in one file; its asserts hold."""
    text = (tree.ROOT / GUIDE).read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "guide"}
    for block in FENCED.finditer(text):
        above = "\n" * text[: block.start(1)].count("\n")  # tracebacks then name the guide's lines
        exec(compile(above + block[1], GUIDE, "exec"), names)  # noqa: S102  # it is our own
    assert "asleep" in names
