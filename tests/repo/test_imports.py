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


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("streams/errors.py", "import streams.api.app", "streams.errors -> streams.api.app"),
        ("streams/extra.py", "", "streams.extra"),
        (
            "streams/joiner/decide/view.py",
            "from streams.joiner import store",
            "streams.joiner.decide.view -> streams.joiner.store",
        ),
        ("streams/matching/lexer.py", "def late():\n    import faust", "lexer -> faust"),
        ("streams/sdk/retries.py", "from streams.sdk import context", ".retries -> .context"),
    ],
    ids=["upwards", "in no layer", "out of the pure core", "in a function", "in a circle"],
)
def test_a_broken_contract_is_found(tmp_path: Path, module: str, line: str, complaint: str) -> None:
    """What a contract forbids is found, also in a function or a package that no layer names."""
    for package in SHIPPED:
        shutil.copytree(tree.ROOT / package, tmp_path / package)
    shutil.copy(tree.ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    kept, report = lint(tmp_path)
    assert not kept
    assert complaint in report


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
