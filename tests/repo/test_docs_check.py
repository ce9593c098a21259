"""The documents' sh blocks are found and run in order, and a failure is reported."""

from pathlib import Path

import psutil
import pytest

from tests.repo.docs_blocks import Block, DirectiveError, read_blocks
from tests.repo.docs_check import Result, check, script_of


def page(*blocks: str) -> str:
    """A document with the given sh blocks, each after its directive if it starts with one."""
    parts = ["# Title", ""]
    for block in blocks:
        directive, _, code = block.rpartition("-->\n")
        parts += [f"{directive}-->"] if directive else []
        parts += ["```sh", code, "```", ""]
    return "\n".join(parts)


def run(folder: Path, text: str, *, ready_seconds: int = 30) -> Result:
    """Check one document with this text."""
    (folder / "page.md").write_text(text, encoding="utf-8")
    return check(Path("page.md"), root=folder, ready_seconds=ready_seconds)


def ended(pid_file: Path) -> bool:
    """Whether the process named in a file is gone; an orphan may wait for init to reap it."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8")))
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_only_sh_blocks_are_found() -> None:
    """Blocks of other languages, and fences inside blocks, are text."""
    text = (
        "```python\n```\n- list\n\n  ```sh\n  echo 1\n    echo 2\n  ```\n````md\n```sh\n```\n````\n"
    )
    assert read_blocks(text) == [Block(5, ("echo 1", "  echo 2"))]


@pytest.mark.parametrize(
    ("directive", "block"),
    [
        ("skip (needs a cluster)", Block(2, ("a",), skipped="needs a cluster")),
        ('background until "ready bootstrap="', Block(2, ("a",), until="ready bootstrap=")),
    ],
)
def test_directives_are_read(directive: str, block: Block) -> None:
    """A comment before a block says to skip it or to keep it running."""
    assert read_blocks(f"<!-- docs-check: {directive} -->\n```sh\na\n```\n") == [block]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n<!-- docs-check: skip -->\n```sh\n```\n", "2: skip needs a reason"),
        ("<!-- docs-check: skip ( ) -->\n```sh\n```\n", "1: skip needs a reason"),
        ("<!-- docs-check: later -->\n```sh\n```\n", "1: unknown directive: later"),
        ("<!-- docs-check: skip (a) -->\ntext\n```sh\n```\n", "1: no sh block follows"),
        ("<!-- docs-check: skip (a) -->\n", "1: no sh block follows"),
        ("text\n```sh\necho\n", "2: this block is never closed"),
    ],
)
def test_a_wrong_directive_is_refused(text: str, problem: str) -> None:
    """A directive that can't be followed is an error with its line."""
    with pytest.raises(DirectiveError, match=problem):
        read_blocks(text)


def test_the_script_keeps_the_document_s_lines() -> None:
    """Code has the same line numbers in the script, so bash's messages fit the document."""
    text = page("echo one", "<!-- docs-check: skip (no) -->\necho two", "echo three\necho four")
    lines = text.splitlines()
    script = script_of(read_blocks(text)).splitlines()
    assert [(number, line) for number, line in enumerate(script) if line.startswith("echo t")] == [
        (lines.index("echo three"), "echo three")
    ]


def test_blocks_share_one_session(tmp_path: Path) -> None:
    """A later block sees the folder and the variables of an earlier one."""
    text = page(
        "greeting=hello\nmkdir sub\ncd sub", '[ "$greeting" = hello ]\n[ "${PWD##*/}" = sub ]'
    )
    assert run(tmp_path, text) == Result(Path("page.md"), 2, 0)


def test_blocks_see_the_checkout_and_do_not_litter_it(tmp_path: Path) -> None:
    """Blocks can read the checkout's files; files that they write are gone afterwards."""
    (tmp_path / "functions.yaml").write_text("functions: []\n", encoding="utf-8")
    assert run(tmp_path, page("cp functions.yaml copy.yaml")).failure is None
    assert {path.name for path in tmp_path.iterdir()} == {"functions.yaml", "page.md"}


@pytest.mark.parametrize(
    ("code", "line", "printed"),
    [
        ("true\nfalse\ntrue", 6, "before"),
        ("true\nfalse | true", 6, "before"),
        ("no-such-command", 5, "page.md: line 5: no-such-command: command not found"),
        ("true\n\necho $unset_one", 3, "page.md: line 7: unset_one: unbound variable"),
    ],
    ids=["exit status", "pipe", "unknown command", "unset variable"],
)
def test_a_failing_line_is_named_with_its_output(
    tmp_path: Path, code: str, line: int, printed: str
) -> None:
    """The first failure ends the document; the report has its line and what was printed."""
    failure = run(tmp_path, page(f"echo before\n{code}", "echo never")).failure
    assert failure is not None
    assert failure.startswith(f"page.md:{line}: exit status ")
    assert printed in failure
    assert "never" not in failure


def test_a_background_block_is_awaited_and_stopped(tmp_path: Path) -> None:
    """The session goes on when the text is printed; no process of the block outlives it."""
    pid_file = tmp_path / "pid"
    background = (
        '<!-- docs-check: background until "ready at" -->\n'
        f"tail -f /dev/null &\necho $! >{pid_file}\necho ready at last\nwait"
    )
    text = page(background, f'kill -0 "$(cat {pid_file})"')
    assert run(tmp_path, text).failure is None
    assert ended(pid_file)


@pytest.mark.parametrize(
    ("code", "seconds", "problem"),
    [
        ("echo other; exit 3", 30, "ended before it printed: ready"),
        # Bash counts whole seconds: of one, nothing may be left for the block to print anything.
        ("echo other; tail -f /dev/null", 4, "did not print within 4 s: ready"),
    ],
)
def test_a_background_block_that_is_never_ready_fails(
    tmp_path: Path, code: str, seconds: int, problem: str
) -> None:
    """Waiting ends after a time, and the report has the block's line and output."""
    text = page(f'<!-- docs-check: background until "ready" -->\n{code}', "echo never")
    failure = run(tmp_path, text, ready_seconds=seconds).failure
    assert failure is not None
    assert failure.startswith("page.md:4: exit status 1\n")
    assert problem in failure
    assert "other" in failure


def test_a_failure_in_a_later_block_still_stops_the_background(tmp_path: Path) -> None:
    """A document that fails leaves no process behind either."""
    pid_file = tmp_path / "pid"
    background = (
        '<!-- docs-check: background until "up" -->\n'
        f"echo $BASHPID >{pid_file}\necho up\ntail -f /dev/null"
    )
    failure = run(tmp_path, page(background, "exit 7")).failure
    assert failure is not None
    assert "exit status 7" in failure
    assert ended(pid_file)
