"""The public names: typed, and documented."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.repo import tree

SAMPLE = Path(__file__).with_name("typed_sample.py")
MODULES = [importlib.import_module(name) for name in ("streams.sdk", "streams.sdk.testing")]


@pytest.mark.slow
def test_a_program_of_its_users_is_typed() -> None:
    """Under mypy's strict rules, types pass through steps, and wrong uses are errors."""
    command = [sys.executable, "-m", "mypy", "--strict", str(SAMPLE)]
    result = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_sample_uses_every_public_name(module: ModuleType) -> None:
    """So none is left unchecked."""
    used = {
        alias.name
        for node in ast.walk(ast.parse(SAMPLE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == module.__name__
        for alias in node.names
    }
    assert used == set(module.__all__)


def members(module: ModuleType) -> Iterator[tuple[str, object]]:
    """A module's public names, and the public methods and properties of its classes."""
    for name in module.__all__:
        found = getattr(module, name)
        yield name, found
        for attribute, value in vars(found).items():
            is_member = inspect.isfunction(value) or isinstance(value, property)
            if is_member and not attribute.startswith("_"):
                yield f"{name}.{attribute}", value


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_each_public_name_is_documented(module: ModuleType) -> None:
    """Names, methods and properties say what they do."""
    assert [name for name, found in members(module) if not inspect.getdoc(found)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_guide_shows_every_public_name(module: ModuleType) -> None:
    """In examples that are run, see `test_guide.py`."""
    guide = (tree.ROOT / "docs/sdk.md").read_text(encoding="utf-8")
    assert [name for name in module.__all__ if name not in guide] == []
