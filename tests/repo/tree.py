"""The project's own files, as git sees them: tracked, or new and not ignored."""

import ast
import functools
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Folders without git (a source archive) are walked instead, without what tools leave in them.
_NOT_OURS = {
    ".venv", ".venv-peers", ".venv-inngest", ".git", "build", "dist", "__pycache__",
    ".hypothesis", ".countermand", "node_modules",
}  # fmt: skip


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file of the project, relative to its root, in order."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
        paths = {Path(name) for name in listed if name}
    else:
        paths = {path.relative_to(ROOT) for path in ROOT.rglob("*") if _is_ours(path)}
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def text(path: Path) -> str | None:
    """The text of a file, or None where it isn't text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def texts() -> list[tuple[Path, str]]:
    """Every text file with its content."""
    return [(path, content) for path in files() if (content := text(path)) is not None]


def python_files(*tops: str) -> list[Path]:
    """The Python files below the given top-level folders; without any, of the whole project."""
    return [
        path for path in files() if path.suffix == ".py" and (not tops or path.parts[0] in tops)
    ]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of one Python file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def _is_ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    tool_dirs = any(part in _NOT_OURS or part.endswith((".egg-info", "_cache")) for part in parts)
    return path.is_file() and not tool_dirs
