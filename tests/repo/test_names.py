"""Files and modules that documents, docstrings and comments name exist."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo import tree

# A file with its ending, or a folder with its slash; not the tail of a longer path.
FILE = re.compile(
    r"(?<![\w./-])((?:streams|topology|tests|docs|examples|deploy)/(?:[\w.-]+/)*(?:[\w-]+\.\w+\b)?)"
)
# `streams.kafka.clients`, with an attribute behind it or not; no attribute of another object.
MODULE = re.compile(r"(?<![\w./-])((?:streams|topology|tests)(?:\.[A-Za-z_]\w*)+)(?![\w/])")
# Not of here: a logger, a label of Kubernetes' nodes, and a page of Inngest's repository.
OTHER_NAMES = {"streams.function", "topology.kubernetes", "docs/SDK_SPEC.md"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def prose_of(path: Path, text: str) -> str:
    """The text for people in a file: all of a document, docstrings and comments of code."""
    return "\n".join(_python_prose(text)) if path.suffix == ".py" else text


def missing(prose: str, root: Path) -> list[str]:
    """The files and modules that a text names and that don't exist below `root`."""
    files = [name for name in FILE.findall(prose) if not (root / name).exists()]
    modules = [name for name in MODULE.findall(prose) if not _is_module(name, root)]
    return [*files, *modules]


def _python_prose(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _is_module(name: str, root: Path) -> bool:
    """Whether a dotted name is a module, or something that the text of a module names."""
    place, parts = root, name.split(".")
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place = place / f"{parts.pop(0)}.py"
    elif (place / "__init__.py").is_file():
        place /= "__init__.py"
    if not parts:
        return True
    return place.is_file() and re.search(rf"\b{parts[0]}\b", place.read_text("utf-8")) is not None


def test_what_is_named_exists() -> None:
    """A file or module that is moved is renamed in every text that names it."""
    assert {
        str(path): names
        for path, text in tree.texts()
        if path.suffix in {".md", ".py", ".toml", ".sh"} or path.name == "Makefile"
        if (names := sorted(set(missing(prose_of(path, text), tree.ROOT)) - OTHER_NAMES))
    } == {}


@pytest.mark.parametrize(
    ("prose", "lost"),
    [
        ("see `streams/a.py`, `streams/` and streams/b/c.py.", []),
        ("see `streams/gone.py`", ["streams/gone.py"]),
        ("in `streams/gone/`", ["streams/gone/"]),
        ("under other/streams/gone.py or https://x.org/docs/gone.md", []),
        ("streams.a, streams.b.c.known and streams.b.", []),
        ("`streams.gone`", ["streams.gone"]),
        ("`streams.a.unknown`", ["streams.a.unknown"]),
        ("logs of our.streams.gone", []),
    ],
)
def test_a_lost_name_is_found(tmp_path: Path, prose: str, lost: list[str]) -> None:
    """Files, folders, modules and what is in them are looked for; other names are left alone."""
    (tmp_path / "streams" / "b").mkdir(parents=True)
    for name in ("a", "b/__init__", "b/c"):
        (tmp_path / f"streams/{name}.py").write_text("known = 1\n", encoding="utf-8")
    assert missing(prose, tmp_path) == lost


def test_prose_of_code_is_its_docstrings_and_comments() -> None:
    """Other strings in code are data, and are not looked at."""
    code = '"""Docstring."""\nplace = "streams/gone.py"  # comment\n'
    assert prose_of(Path("a.py"), code) == "Docstring.\n# comment"
