"""Documents point at what exists."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.repo import tree

DECISIONS = "docs/decisions"
DECISION = re.compile(DECISIONS + r"/(\d{4})")
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCED = re.compile(r"^(\s*)(```|~~~).*?^\s*\2\s*$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def dead_links(path: Path, text: str, root: Path) -> list[str]:
    """Name the relative links of a Markdown text that lead to no file or no heading."""
    dead = []
    for target in LINK.findall(FENCED.sub("", text)):
        if ELSEWHERE.match(target):
            continue
        file, _, anchor = target.partition("#")
        aim = (root / path.parent / file) if file else (root / path)
        lost = not aim.exists()
        if not lost and anchor and aim.suffix == ".md":
            lost = anchor not in anchors(aim.read_text(encoding="utf-8"))
        if lost:
            dead.append(f"{path}: {target}")
    return dead


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a Markdown text."""
    found: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        repeats = found.get(slug, 0)
        found[slug] = repeats + 1
        names.add(f"{slug}-{repeats}" if repeats else slug)
    return names


def test_each_decision_that_is_named_exists() -> None:
    """A comment that points to a decision points to a file."""
    written = {path.name[:4] for path in tree.files() if path.parent.as_posix() == DECISIONS}
    assert [
        f"{path}: {number}"
        for path, text in tree.texts()
        for number in DECISION.findall(text)
        if number not in written
    ] == []


def test_no_link_is_dead() -> None:
    """Every relative link of every document leads somewhere."""
    assert [
        dead
        for path, text in tree.texts()
        if path.suffix == ".md"
        for dead in dead_links(path, text, tree.ROOT)
    ] == []


def test_changelog_starts_with_what_comes_next() -> None:
    """The changelog's first section is Unreleased or the version of this tree."""
    settings = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (tree.ROOT / "docs/changelog.md").read_text(encoding="utf-8")
    first = re.findall(r"^## \[?([^\]\s]+)", text, re.MULTILINE)[0]
    assert first in {"Unreleased", settings["project"]["version"]}


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("a.md", False),
        ("a.md#two-words", False),
        ("#here-1", False),
        ("https://example.org/x", False),
        ("b.md", True),
        ("a.md#three", True),
        ("#here-2", True),
    ],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str, dead: bool) -> None:
    """Missing files and missing headings are found; what exists, or lies elsewhere, is not."""
    (tmp_path / "a.md").write_text("# Two `words`\n", encoding="utf-8")
    page = f"# Here\n```sh\n# three\n[x](gone.md)\n```\n# Here\n[link]({link})\n"
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    assert bool(dead_links(Path("page.md"), page, tmp_path)) is dead
