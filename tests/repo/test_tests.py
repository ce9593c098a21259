"""Rules for tests: a docstring, an assertion, no sleep, only registered marks."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.repo import tree

# Marks that pytest and its plugins register themselves.
BUILT_IN_MARKS = {
    "filterwarnings",
    "parametrize",
    "skip",
    "skipif",
    "timeout",
    "usefixtures",
    "xfail",
}
ASSERTING_CALL = re.compile(r"^(?:raises|warns|fail|_?(?:assert|check|expect|verify)\w*)$")
PATCHING_CALL = re.compile(r"^(?:monkeypatch\.setattr|(?:mock\.)?patch(?:\.object|\.multiple)?)$")
SLEEPERS = {"time", "asyncio"}
CLOCKS = {("time", name) for name in ("time", "monotonic", "perf_counter")}
OWN = ("streams", "topology", "examples", "tests")
# Bugs that are planted to see them found change the code itself.
PLANTS = Path("tests/simulation/plants.py")


def collected(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module that pytest runs as tests."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            yield node


def asserts_something(function: ast.AST) -> bool:
    """Whether a test asserts by itself, expects an exception, or calls a function that checks."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ASSERTING_CALL.match(_called(node)[1]) is not None)
        for node in ast.walk(function)
    )


def naps(module: ast.Module) -> list[int]:
    """The lines where a module sleeps; ``asyncio.sleep(0)`` only lets others run."""
    return [
        node.lineno
        for node in ast.walk(module)
        if (isinstance(node, ast.Call) and _is_nap(node))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module in SLEEPERS
            and any(alias.name == "sleep" for alias in node.names)
        )
    ]


def hopes(module: ast.Module) -> list[int]:
    """The lines where a module waits for a line of a log, or asserts how late it is."""
    return [
        node.lineno
        for node in ast.walk(module)
        if (isinstance(node, ast.Call) and _called(node)[1] == "eventually" and _asks_a_log(node))
        or (isinstance(node, ast.Assert) and any(map(_is_clock, ast.walk(node))))
    ]


def _asks_a_log(call: ast.Call) -> bool:
    return any(isinstance(node, ast.Call) and _called(node)[1] == "said" for node in ast.walk(call))


def _is_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node) in CLOCKS


def patched(module: ast.Module) -> list[int]:
    """The lines where a module replaces a part of our own code, by name or by object."""
    ours = _own_names(module)
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and PATCHING_CALL.search(ast.unparse(node.func))
        and node.args
        and _is_own(node.args[0], ours)
    ]


def _own_names(module: ast.Module) -> set[str]:
    """What a module imports from our own packages."""
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(module)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in OWN
    }


def _is_own(target: ast.expr, ours: set[str]) -> bool:
    name = target.value if isinstance(target, ast.Constant) else ast.unparse(target)
    first = str(name).partition(".")[0]
    return first in (OWN if isinstance(target, ast.Constant) else ours)


def marks(module: ast.Module) -> set[str]:
    """The pytest marks that a module uses."""
    return {
        node.attr
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pytest.mark"
    }


def _is_nap(call: ast.Call) -> bool:
    owner, name = _called(call)
    only_yields = owner == "asyncio" and [ast.unparse(arg) for arg in call.args] == ["0"]
    return owner in SLEEPERS and name == "sleep" and not only_yields


def _called(call: ast.Call) -> tuple[str, str]:
    if isinstance(call.func, ast.Attribute):
        return ast.unparse(call.func.value), call.func.attr
    return "", call.func.id if isinstance(call.func, ast.Name) else ""


def _test_files() -> list[Path]:
    return [path for path in tree.python_files("tests") if path.name.startswith("test_")]


def test_each_test_states_its_rule() -> None:
    """Each test has a docstring that says which rule it tests."""
    assert [
        f"{path}:{test.lineno}: {test.name}"
        for path in _test_files()
        for test in collected(tree.parsed(path))
        if not ast.get_docstring(test)
    ] == []


def test_each_test_asserts_something() -> None:
    """A test that asserts nothing passes whatever the code does."""
    assert [
        f"{path}:{test.lineno}: {test.name}"
        for path in _test_files()
        for test in collected(tree.parsed(path))
        if not asserts_something(test)
    ] == []


def test_no_test_sleeps() -> None:
    """A sleep is too short on a slow machine and too long on every other."""
    assert [
        f"{path}:{line}" for path in tree.python_files("tests") for line in naps(tree.parsed(path))
    ] == []


def test_no_test_hopes() -> None:
    """A log may leave a line out, and a machine may be busy: a test waits for what must come."""
    assert [f"{path}:{line}" for path in _test_files() for line in hopes(tree.parsed(path))] == []


def test_no_test_patches_our_own_code() -> None:
    """A test that replaces a part of ours tests another program: it gives the part instead."""
    assert [
        f"{path}:{line}"
        for path in tree.python_files("tests")
        if path != PLANTS
        for line in patched(tree.parsed(path))
    ] == []


def test_each_mark_is_registered() -> None:
    """A mark that is not registered selects no test."""
    settings = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    registered = {
        mark.split(":")[0].split("(")[0].strip()
        for mark in settings["tool"]["pytest"]["ini_options"]["markers"]
    }
    used = {mark for path in tree.python_files("tests") for mark in marks(tree.parsed(path))}
    assert used - registered - BUILT_IN_MARKS == set()


def test_the_guards_on_tests_bite() -> None:
    """A test without an assertion, a sleep, a hope and a mark are each found in a module."""
    module = ast.parse(
        "import time\n"
        "from streams.joiner import store\n"
        "@pytest.mark.brokr\n"
        "def test_a():\n"
        "    time.sleep(1)\n"
        "async def test_b():\n"
        "    await asyncio.sleep(0)\n"
        "    with pytest.raises(ValueError):\n"
        "        f()\n"
        "    monkeypatch.setattr(store, 'WIDTH', 1)\n"
        "    monkeypatch.setattr(time, 'time', f)\n"
        "    mock.patch('streams.joiner.store.wipe')\n"
        "    eventually(lambda: joiner.said('is ready'), 60)\n"
        "    assert time.perf_counter() - began < 1\n"
        "    eventually(lambda: joiner.is_ready)\n"
    )
    assert [asserts_something(test) for test in collected(module)] == [False, True]
    assert naps(module) == [5]
    assert sorted(hopes(module)) == [13, 14]
    assert patched(module) == [10, 12]
    assert marks(module) == {"brokr"}
