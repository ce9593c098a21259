"""Who may import whom: the contracts of `pyproject.toml`, and what they can't say."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.repo import tree

RECORD_LIBRARIES = {"msgspec", "ulid_transform"}
SHIPPED = ("streams", "topology")
# They need no settings, or a client for a single record.
OWN_CLIENTS = {"streams/broker/prepare.py", "streams/doctor/kafka.py"}

# Ways to break a contract: the module, what stands at its end, and what is said of it.
BROKEN = {
    "upwards": (
        "streams/errors.py",
        "import streams.api.app",
        "streams.errors -> streams.api.app",
    ),
    "in no layer": ("streams/extra.py", "", "streams.extra"),
    "out of the pure core": (
        "streams/joiner/decide/view.py",
        "from streams.joiner import store",
        "streams.joiner.decide.view -> streams.joiner.store",
    ),
    "in a function": (
        "streams/matching/lexer.py",
        "def late():\n    import faust",
        "lexer -> faust",
    ),
    "in a circle": (
        "streams/sdk/retries.py",
        "from streams.sdk import context",
        ".retries -> .context",
    ),
}


def contracts() -> dict[str, dict[str, Any]]:
    """The contracts of imports by id."""
    settings = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in settings["tool"]["importlinter"]["contracts"]}


def lint(root: Path) -> tuple[bool, str]:
    """Whether a tree keeps the contracts, and what import-linter says of it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def test_contracts_of_imports_are_kept() -> None:
    """No import runs upwards through the layers, in a circle, or from decisions to an engine."""
    kept, report = lint(tree.ROOT)
    assert kept, report


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a tree that breaks contracts in each way of `BROKEN`."""
    root = tmp_path_factory.mktemp("broken")
    for package in SHIPPED:
        # Whoever imports a module now has its bytecode there for a moment, under another name.
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tree.ROOT / package, root / package, ignore=ignored)
    shutil.copy(tree.ROOT / "pyproject.toml", root)
    for module, line, _ in BROKEN.values():
        with (root / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    kept, report = lint(root)
    assert not kept
    return report


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_contract_is_found(complaints: str, way: str) -> None:
    """What a contract forbids is found, also in a function or a package that no layer names."""
    _, _, complaint = BROKEN[way]
    assert complaint in complaints


def test_the_architecture_shows_the_layers() -> None:
    """The page shows the layers in the order that the contract has."""
    page = (tree.ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \d+ \| ([^|]+) \|", page, re.MULTILINE)
    assert [re.findall(r"`(\w+)`", names) for names in shown] == [
        layer.split(" | ") for layer in contracts()["layers"]["layers"]
    ]


def test_topology_is_pure_data() -> None:
    """`topology` imports the standard library and the libraries of its records only."""
    allowed = {*sys.stdlib_module_names, *RECORD_LIBRARIES, "topology"}
    assert {
        str(path): extra
        for path in tree.python_files("topology")
        if (extra := _top_level_imports(tree.parsed(path)) - allowed)
    } == {}


@pytest.mark.parametrize("client", ["Consumer", "Producer"])
def test_clients_are_configured_in_one_place(client: str) -> None:
    """What processes read and write with is made in `streams.kafka`."""
    made = {
        path.as_posix()
        for path in tree.python_files("streams")
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == client
    }
    assert {path for path in made if not path.startswith("streams/kafka/")} <= OWN_CLIENTS


def _top_level_imports(module: ast.Module) -> set[str]:
    return {
        name.partition(".")[0]
        for node in ast.walk(module)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
