"""The layout of the joiner's keys is written down once: in `topology/tables.py`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo import tree
from topology import tables

HOME = Path("topology/tables.py")
# The checkpoint's key is no letter: zero bytes mean many other things.
LETTERS = {space.value for space in tables.Space} - {tables.CHECKPOINT_KEY}
# Methods whose arguments are keys of rows, or what keys begin with.
OF_KEYS = {"scan", "rows", "held", "may_hold", "startswith"}
_PARTS = [part for part in vars(tables).values() if isinstance(part, slice)]
# Below two, an offset may count anything.
OFFSETS = {end for part in _PARTS for end in (part.start, part.stop) if end and end > 1}
OFFSETS |= {tables.LISTENER_RULE}


def letters(module: ast.Module) -> Iterator[int]:
    """The lines in which bytes are used as a key's first byte: joined, compared, scanned."""
    for node in ast.walk(module):
        if isinstance(node, ast.expr) and (
            any(_text(one) in LETTERS for one in _used(node)) or _has_letters_within(node)
        ):
            yield node.lineno


def _used(node: ast.expr) -> list[ast.expr]:
    """The parts of an expression in which a single letter would be a key's first byte."""
    match node:
        case ast.BinOp(left=left, op=ast.Add()):
            return [left]
        case ast.Compare(left=left, comparators=right):
            return [left, *(part for one in right for part in _elements(one))]
        case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name in OF_KEYS:
            return arguments
        case ast.Subscript(value=value):
            return [value]
    return []


def _has_letters_within(node: ast.expr) -> bool:
    """Whether it is a set of letters, or a format that begins with one."""
    match node:
        case ast.Call(func=ast.Name(id="frozenset" | "set"), args=[ast.Constant(bytes(text))]):
            return bool(text) and all(bytes([letter]) in LETTERS for letter in text)
        case ast.BinOp(left=ast.Constant(bytes(text)), op=ast.Mod()):
            return text[:1] in LETTERS and text[1:2] == b"%"
    return False


def offsets(module: ast.Module) -> Iterator[int]:
    """The lines in which parts of keys are cut out by number, or by a name for that number."""
    named = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _number(node.value) in OFFSETS
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        ends: list[ast.expr | None] = []
        match node:
            case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper)):
                ends = [lower, upper]
            case ast.Subscript(slice=index):
                ends = [index]
            case ast.Call(func=ast.Name(id="slice"), args=arguments):
                ends = [*arguments]
        if any(
            _number(end) in OFFSETS or (isinstance(end, ast.Name) and end.id in named)
            for end in ends
        ):
            assert isinstance(node, ast.expr)
            yield node.lineno


def _elements(expression: ast.expr) -> list[ast.expr]:
    if isinstance(expression, ast.Tuple | ast.List | ast.Set):
        return expression.elts
    return [expression]


def _text(expression: ast.expr) -> bytes | None:
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if isinstance(value, bytes) else None


def _number(expression: ast.expr | None) -> int | None:
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if type(value) is int else None


def test_no_other_module_has_a_raw_letter_of_a_space() -> None:
    """Keys begin with a named space, in the code and in its tests; golden bytes are literal."""
    assert [
        f"{path}:{line}"
        for path in tree.python_files("streams", "tests")
        if path.parts[:2] != ("tests", "compat")
        for line in letters(tree.parsed(path))
    ] == []


def test_no_other_module_cuts_keys_by_number() -> None:
    """Only joiners see keys of rows, so only there does a number mean a place in a key."""
    paths = [path for path in tree.python_files("streams") if path.parts[1] == "joiner"]
    assert paths
    assert [f"{path}:{line}" for path in paths for line in offsets(tree.parsed(path))] == []


@pytest.mark.parametrize(
    "text",
    [
        'prefix = b"l" + match_key',
        'if key[:1] == b"q": ...',
        'if key[:1] in (b"e", b"r"): ...',
        'driver.rows(b"h")',
        'store.scan(b"w", b"w")',
        'TIMER = b"t"[0]',
        'HELD = frozenset(b"hmup")',
        'key = b"l%s%c" % (match_key, rule)',
    ],
)
def test_a_raw_letter_is_found(text: str) -> None:
    """Each way to write a letter down is noticed."""
    assert list(letters(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    ["key[17:33]", "key[:17]", "timer[9:]", "key[33]", "RUN = slice(17, 33)", "R = 33\nkey[R]"],
)
def test_an_offset_is_found(text: str) -> None:
    """Each way to cut a key is noticed."""
    assert list(offsets(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        'ids = {"events": b"e" * 16}',
        'start = after + b"\\x00"',
        'assert message.headers == [("trace", b"t")]',
        'log = b"f%06d.log"',
        "tables.LISTENERS + match_key",
        "OLDEST = 17",
        "text[:64]",
        "key[tables.PREFIX]",
    ],
)
def test_other_bytes_and_numbers_are_left_alone(text: str) -> None:
    """What is no key of a row is nobody's business here."""
    module = ast.parse(text)
    assert [*letters(module), *offsets(module)] == []


def test_the_home_of_the_layout_would_be_found() -> None:
    """The guard sees the one place that is meant to have letters and offsets."""
    module = tree.parsed(HOME)
    assert list(letters(module))
    assert list(offsets(module))
