"""The folders at the top, the lengths of modules and functions, and forbidden texts."""

import ast
import re
from pathlib import Path

import pytest

from tests.repo import tree

TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "Makefile",
    "LICENSE",
    "streams",
    "topology",
    "deploy",
    "tests",
    "docs",
    "examples",
}
CATCH_ALLS = {"utils", "util", "common", "helpers", "helper", "misc"}
LONGEST_FUNCTION = 60
LONGEST_MODULE = 500

# Escaped or split, so that this file doesn't contain what it looks for.
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
REGISTRY_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|npmjs\.(?:com|org)|crates\.io|proxy\.golang"
    r"|(?:repo1?|search|central)\.maven|maven\.org|sonatype\.(?:org|com)|deb\.debian"
)
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|root|opt/wheels)/")


def long_functions(path: Path, module: ast.Module) -> list[str]:
    """Name the functions of a module that are too long to be read at a glance."""
    return [
        f"{path}:{node.lineno}: {node.name} has {length} lines"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def matches(pattern: re.Pattern[str], path: Path, text: str) -> list[str]:
    """Name each line of a text in which the pattern occurs."""
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_top_level_holds_only_the_agreed_names() -> None:
    """A newcomer finds the same few folders at the top, and nothing else."""
    tops = {path.parts[0] for path in tree.files()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_no_module_is_a_catch_all() -> None:
    """A module is named after what is in it, which a catch-all's name doesn't say."""
    assert [
        str(path)
        for path in tree.python_files()
        if CATCH_ALLS & {part.removesuffix(".py") for part in path.parts}
    ] == []


def test_modules_are_short() -> None:
    """A module that is too long holds more than one thing."""
    lengths = {path: len((tree.text(path) or "").splitlines()) for path in tree.python_files()}
    assert {str(path): size for path, size in lengths.items() if size > LONGEST_MODULE} == {}


def test_functions_are_short() -> None:
    """A function that is too long can't be checked by reading it."""
    assert [
        finding
        for path in tree.python_files()
        for finding in long_functions(path, tree.parsed(path))
    ] == []


def test_a_long_function_is_found() -> None:
    """The guard on lengths counts from the def line to the last line."""
    body = "def at_limit():\n" + "    pass\n" * (LONGEST_FUNCTION - 1)
    over = "def over():\n" + "    pass\n" * LONGEST_FUNCTION
    assert long_functions(Path("a.py"), ast.parse(body)) == []
    assert long_functions(Path("a.py"), ast.parse(over)) == ["a.py:1: over has 61 lines"]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        pytest.param(UNFINISHED, "finish it or write an issue", id="unfinished"),
        pytest.param(REGISTRY_HOST, "a user's own mirror decides", id="registry host"),
        pytest.param(MACHINE_PATH, "it exists on one machine only", id="machine path"),
    ],
)
def test_no_file_says(pattern: re.Pattern[str], why: str) -> None:
    """Unfinished marks, registry hosts and paths of one machine stay out of every file."""
    assert [line for path, text in tree.texts() for line in matches(pattern, path, text)] == [], why


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (UNFINISHED, "# FIX" + "ME: later", "mktemp /tmp/a.XXXXXX"),
        (REGISTRY_HOST, "https://pypi" + ".org/simple", "from PyPI"),
        (MACHINE_PATH, "cd /" + "work/main", "a path of /network/ or $HOME/framework/x"),
    ],
)
def test_the_forbidden_is_found(pattern: re.Pattern[str], bad: str, good: str) -> None:
    """Each pattern finds what it is there for and leaves its neighbours alone."""
    assert len(matches(pattern, Path("a.md"), f"{good}\n{bad}\n")) == 1
