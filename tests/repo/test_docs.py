"""Documents agree with the tree: links, decisions, bounds and figures."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from streams.matching import limits as of_expressions
from tests.repo import tree
from topology import limits

KIB = 1024
MIB = 1024 * KIB
# What documents say of a bound, word for word.
BOUNDS = [
    (
        "docs/semantics.md",
        f"at most {limits.SLICE_DECISIONS} decisions and {limits.SLICE_ALLOWANCE.bytes // MIB} MiB",
    ),
    ("docs/semantics.md", f"plus {limits.REQUEST_SLACK_MS // limits.SECOND_MS} s"),
    ("docs/semantics.md", f"({limits.PAUSE_AFTER_MS // limits.DAY_MS} days by default)"),
    ("docs/semantics.md", f"within {limits.DEDUPE_MS // limits.HOUR_MS} hours"),
    ("docs/semantics.md", f"At most {of_expressions.EXPRESSION_BYTES // KIB} KiB"),
    ("docs/semantics.md", f"{of_expressions.NODES} nodes, {of_expressions.NESTING} levels"),
    ("docs/architecture.md", f"at most {limits.SLICE_DECISIONS} decisions each"),
    ("docs/decisions/0005-requests-are-rows.md", f"have {limits.SLICE_DECISIONS} decisions"),
    ("docs/inputs.md", f"a name over {limits.EVENT_NAME_CHARS} characters"),
    ("docs/inputs.md", f"over {limits.EVENT_BYTES // KIB} KiB"),
    ("docs/sdk.md", f"at most {limits.STEP_RESULT_BYTES // KIB} KiB"),
]
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
    times: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        repeats = times.get(slug, 0)
        times[slug] = repeats + 1
        names.add(f"{slug}-{repeats}" if repeats else slug)
    return names


def test_each_decision_that_is_named_exists() -> None:
    """A decision that any text names by its number has a file."""
    written = {path.name[:4] for path in tree.files() if path.parent.as_posix() == DECISIONS}
    assert [
        f"{path}: {number}"
        for path, text in tree.texts()
        for number in DECISION.findall(text)
        if number not in written
    ] == []


def test_no_link_is_dead() -> None:
    """Every relative link of every document leads to a file or heading that exists."""
    assert [
        dead
        for path, text in tree.texts()
        if path.suffix == ".md"
        for dead in dead_links(path, text, tree.ROOT)
    ] == []


@pytest.mark.parametrize(("page", "words"), BOUNDS)
def test_the_bounds_that_documents_give_are_those_of_the_code(page: str, words: str) -> None:
    """A bound that changes in the code changes in the pages that give it, too."""
    assert words in (tree.ROOT / page).read_text(encoding="utf-8")


def test_the_words_about_the_bench_agree_with_its_figures() -> None:
    """What README.md concludes from the last line of `make bench` follows from that line."""
    text = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    printed = re.search(r'^\{"events_per_s".*?^```$', text, re.MULTILINE | re.DOTALL)
    assert printed is not None
    figures = json.loads(printed[0].removesuffix("```"))
    speed = figures["events_per_s"]
    quix, streams = (speed["beside"][peer] for peer in ("quix", "kafka_streams"))
    bulk = round(figures["bulk_1m"]["runs_per_s"], -3)
    words = " ".join(text.split())
    assert f"{quix:.1f} times the speed of Quix Streams" in words
    assert f"{streams:.1f} times that of Kafka Streams" in words
    assert f"it reaches {bulk:,};" in words


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
