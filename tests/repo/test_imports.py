"""Who may import whom: topology <- streams <- tests, examples."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo import tree

FIRST_PARTY = {"topology", "streams", "tests", "examples"}
RECORD_LIBRARIES = {"msgspec", "ulid_transform"}
ENGINE = {"faust", "mode", "aiokafka"}
KAFKA_AND_STORE = {"confluent_kafka", "rocksdict"}


def imported(module: ast.Module, name: str, *, at_import_only: bool = False) -> set[str]:
    """The dotted names that a module imports, relative ones resolved against its own name.

    Args:
        module: The parsed module.
        name: Its dotted name; that of a package ends in ``.__init__``.
        at_import_only: Leave out what is imported in functions or for type checkers alone.
    """
    found: set[str] = set()
    nodes = _run_at_import(module) if at_import_only else ast.walk(module)
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".")[: -node.level]
                base = ".".join([*package, base] if base else package)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not function and not typing_only:
            yield child
            yield from _run_at_import(child)


def dotted(path: Path) -> str:
    """The dotted name of a file; a package's own file keeps its ``__init__``."""
    return ".".join(path.with_suffix("").parts)


def tops(names: set[str]) -> set[str]:
    """The top-level packages of dotted names."""
    return {name.split(".")[0] for name in names}


def reached_from(start: Path, modules: dict[str, Path]) -> set[str]:
    """The top-level packages that importing one file brings in, through our own modules."""
    reached: set[str] = set()
    waiting, seen = [start], {start}
    while waiting:
        path = waiting.pop()
        names = imported(tree.parsed(path), dotted(path), at_import_only=True)
        reached |= tops(names)
        for name in {dotted(path), *names}:
            parts = name.split(".")
            # Importing a.b.c runs a/__init__, a.b/__init__ and a.b.c.
            for length in range(1, len(parts) + 1):
                found = modules.get(".".join(parts[:length]))
                if found and found not in seen:
                    seen.add(found)
                    waiting.append(found)
    return reached


def own_modules() -> dict[str, Path]:
    """Our importable modules by dotted name, packages under their own name."""
    return {
        dotted(path).removesuffix(".__init__"): path
        for path in tree.python_files("topology", "streams")
    }


def _imports(path: Path) -> set[str]:
    return imported(tree.parsed(path), dotted(path))


def test_topology_is_pure_data() -> None:
    """`topology` imports the standard library and the libraries of its records only."""
    allowed = {*sys.stdlib_module_names, *RECORD_LIBRARIES, "topology"}
    assert {
        str(path): extra
        for path in tree.python_files("topology")
        if (extra := tops(_imports(path)) - allowed)
    } == {}


def test_streams_does_not_know_its_tests() -> None:
    """`streams` imports neither tests nor examples."""
    assert {
        str(path): extra
        for path in tree.python_files("streams")
        if (extra := tops(_imports(path)) & {"tests", "examples"})
    } == {}


@pytest.mark.parametrize(
    ("prefix", "forbidden"),
    [
        pytest.param("streams.matching", ENGINE | KAFKA_AND_STORE, id="matching"),
        pytest.param("streams.joiner.decide", ENGINE | KAFKA_AND_STORE, id="decide"),
        pytest.param("streams.sdk", {"faust", "mode"}, id="sdk"),
    ],
)
def test_pure_parts_reach_no_engine(prefix: str, forbidden: set[str]) -> None:
    """Matching and decisions can be run, and the SDK installed, without engine or broker."""
    modules = own_modules()
    assert {
        name: extra
        for name, path in modules.items()
        if name.startswith(prefix)
        and (extra := (tops(_imports(path)) | reached_from(path, modules)) & forbidden)
    } == {}


# They need no settings, or a client for a single record.
OWN_CLIENTS = {"streams/broker/prepare.py", "streams/doctor/kafka.py"}


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


def test_relative_and_late_imports_are_seen() -> None:
    """A relative import counts as what it means, and one inside a function counts too."""
    module = ast.parse("from . import store\nfrom ..errors import E\ndef f():\n    import faust\n")
    assert imported(module, "streams.joiner.app") == {
        "streams.joiner.store",
        "streams.errors.E",
        "faust",
    }
    assert "faust" not in imported(module, "streams.joiner.app", at_import_only=True)


def test_imports_for_type_checkers_are_not_run() -> None:
    """What only a type checker reads isn't counted as brought in."""
    module = ast.parse(
        "if TYPE_CHECKING:\n    import faust\ntry:\n    import orjson\nfinally: ...\n"
    )
    assert imported(module, "streams.a", at_import_only=True) == {"orjson"}
