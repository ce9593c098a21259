"""Runs every sh block of the documents: ``python -m tests.repo.docs_check [FILE...]``.

Each document is one bash session, so that a later block sees what an earlier one set, in a scratch
folder that links to the checkout's files: what the blocks write doesn't litter it. Directives, as
HTML comments before a block:

    docs-check: skip (reason)              not run
    docs-check: background until "text"    started; the session goes on when the text is printed,
                                           and the block is stopped when the document ends
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.repo import tree
from tests.repo.docs_blocks import Block, DirectiveError, read_blocks

WHOLE_DOCUMENT_SECONDS = 900
READY_SECONDS = 180
STOP_SECONDS = 15
SHOWN_LINES = 60

# Sourced before the document; a document has no names with this prefix.
_PRELUDE = r"""
unset BASH_ENV
set -euo pipefail
trap 'echo "$LINENO" >"$_docs_check/at"' ERR
_docs_check_ready() { # process, log, text, line
  local deadline=$((SECONDS + _docs_check_seconds))
  echo "$1" >>"$_docs_check/background"
  until grep -qF -- "$3" "$2"; do
    if ! kill -0 "$1" 2>/dev/null; then
      echo "the background block ended before it printed: $3"
    elif ((SECONDS >= deadline)); then
      echo "the background block did not print within $_docs_check_seconds s: $3"
    else
      read -r -t 0.1 <>"$_docs_check/never" || true
      continue
    fi
    cat "$2"
    echo "$4" >"$_docs_check/at"
    trap - ERR
    exit 1
  done
}
"""


@dataclass(frozen=True)
class Result:
    """The result of one document: how many blocks ran, how many not, and its failure."""

    document: Path
    ran: int
    skipped: int
    failure: str | None = None


def script_of(blocks: Sequence[Block]) -> str:
    """One bash script for a document's blocks, each line on the line that it has in the document.

    Bash's own messages then name the document's lines.
    """
    lines: list[str] = []
    for block in blocks:
        if block.skipped is not None:
            continue
        lines += [""] * (block.line - 1 - len(lines))
        mark = f'echo {block.line} >"$_docs_check/at"'
        if block.until is None:
            lines += [mark, *block.code]
            continue
        log = f'"$_docs_check/{block.line}.log"'
        # Job control gives the block a process group of its own, by which it is stopped.
        lines += [f"{mark}; : >{log}; set -m; ( set +m", *block.code]
        ready = f"_docs_check_ready $! {log} {shlex.quote(block.until)} {block.line}"
        lines += [f") >{log} 2>&1 </dev/null & set +m; {ready}"]
    return "\n".join(lines) + "\n"


def check(document: Path, *, root: Path = tree.ROOT, ready_seconds: int = READY_SECONDS) -> Result:
    """Run the blocks of one document, given relative to the root."""
    try:
        blocks = read_blocks((root / document).read_text(encoding="utf-8"))
    except DirectiveError as error:
        return Result(document, 0, 0, f"{document}:{error}")
    skipped = sum(block.skipped is not None for block in blocks)
    ran = len(blocks) - skipped
    if not ran:
        return Result(document, 0, skipped)
    with tempfile.TemporaryDirectory(prefix="docs-check-") as scratch:
        state = Path(scratch, "state")
        state.mkdir()
        script = state / document.name
        script.write_text(script_of(blocks), encoding="utf-8")
        _link_checkout(root, Path(scratch, "checkout"))
        problem = _run(script, Path(scratch, "checkout"), ready_seconds)
        if problem is None:
            return Result(document, ran, skipped)
        line = (state / "at").read_text(encoding="utf-8").strip() if (state / "at").exists() else 1
        output = (state / "output").read_text(encoding="utf-8", errors="replace")
        shown = "\n".join(f"    {text}" for text in output.splitlines()[-SHOWN_LINES:])
        return Result(document, ran, skipped, f"{document}:{line}: {problem}\n{shown}")


def _link_checkout(root: Path, scratch: Path) -> None:
    scratch.mkdir()
    for entry in root.iterdir():
        if entry.name != ".git":
            (scratch / entry.name).symlink_to(entry)


def _run(script: Path, folder: Path, ready_seconds: int) -> str | None:
    state = script.parent
    (state / "prelude").write_text(_PRELUDE, encoding="utf-8")
    os.mkfifo(state / "never")
    with (state / "output").open("wb") as output:
        session = subprocess.Popen(
            ["bash", str(script)],
            cwd=folder,
            env=_environment(state, folder, ready_seconds),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = session.wait(timeout=WHOLE_DOCUMENT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"did not end within {WHOLE_DOCUMENT_SECONDS} s"
        finally:
            _stop(session, state)
    return f"exit status {status}" if status else None


def _environment(state: Path, folder: Path, ready_seconds: int) -> dict[str, str]:
    # A make above us would hand its options, and bash's own counter, to the makes of the document.
    dropped = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "SECONDS", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {
        "BASH_ENV": str(state / "prelude"),
        "PATH": f"{folder / '.venv/bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "_docs_check": str(state),
        "_docs_check_seconds": str(ready_seconds),
    }


def _stop(session: subprocess.Popen[bytes], state: Path) -> None:
    """Stop the session and its background blocks, by force only if they don't end."""
    recorded = state / "background"
    groups = [int(line) for line in recorded.read_text().split()] if recorded.exists() else []
    if session.poll() is None:
        groups.append(session.pid)
    left = [member for group in groups for member in _members(group)]
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=STOP_SECONDS)
    for group in groups if stubborn else []:
        _signal_group(group, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=STOP_SECONDS)
    session.wait()


def _members(group: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def documents() -> list[Path]:
    """README.md first, then every document of docs/ and examples/."""
    pages = [path for path in tree.files() if path.suffix == ".md"]
    return [
        page
        for place in ("README.md", "docs", "examples")
        for page in pages
        if page.parts[0] == place
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the given documents, or all, and print each result; give 1 if any failed."""
    parser = argparse.ArgumentParser(prog="docs_check", description="Run the documents' sh blocks.")
    parser.add_argument(
        "documents", nargs="*", type=Path, help="default: README.md, docs/ and examples/"
    )
    chosen = parser.parse_args(arguments).documents or documents()
    failed = 0
    for document in chosen:
        result = check(document)
        if result.failure is not None:
            failed += 1
            print(f"FAILED {result.failure}", flush=True)
        elif result.ran or result.skipped:
            print(f"ok {document}: {result.ran} run, {result.skipped} skipped", flush=True)
    print(f"{len(chosen) - failed} documents ok, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
