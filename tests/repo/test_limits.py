"""The page of limits is what its generator writes, and every row's test is there."""

import ast

import pytest

from tests.repo import limits_page, tree
from tests.repo.limit import Limit

ROWS = [row for rows in limits_page.GROUPS.values() for row in rows]


def test_the_page_is_what_its_generator_writes() -> None:
    """Run: python -m tests.repo.limits_page > docs/limits.md."""
    assert (tree.ROOT / "docs/limits.md").read_text(encoding="utf-8") == limits_page.page()


@pytest.mark.parametrize("row", [row for row in ROWS if row.test], ids=lambda row: row.what)
def test_the_test_of_a_limit_is_there(row: Limit) -> None:
    """A limit without a test is a wish."""
    path, _, name = row.test.partition("::")
    module = ast.parse((tree.ROOT / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_only_bounds_of_libraries_have_no_test() -> None:
    """They are options of RocksDB and of Kafka's client."""
    assert [row.what.partition(" ")[0] for row in ROWS if not row.test] == [
        "RocksDB's",
        "while",
        "what",
    ]
