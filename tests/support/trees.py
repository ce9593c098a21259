"""Other commits of this project, and how their programs are run."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Like `-m`, for the modules of another tree: its folder is the first argument, the module the next.
_OF_TREE: Final = """
import runpy, sys
_, sys.path[0], module, *sys.argv[1:] = sys.argv
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A work tree of a commit, as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="countermand-tree-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True
        )
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def program(module: str, tree: Path | None = None) -> list[str]:
    """The command line that runs a module of a work tree, of this one if none is given."""
    of_tree = ("-m",) if tree is None else ("-c", _OF_TREE, str(tree))
    return [sys.executable, *of_tree, module]
