"""The sh blocks of a Markdown document, and the directives that stand before them."""

import re
import textwrap
from dataclasses import dataclass

_OPENING = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)\s*$")
_DIRECTIVE = re.compile(r"^\s*<!--\s*docs-check:\s*(.*?)\s*-->\s*$")
_SKIP = re.compile(r"^skip(?:\s*\((.*)\))?$")
_BACKGROUND = re.compile(r'^background until "(.+)"$')


class DirectiveError(Exception):
    """A directive that can't be understood, with its line."""

    def __init__(self, line: int, problem: str) -> None:
        """Keep the line apart from the problem, for the caller to prefix the file."""
        super().__init__(f"{line}: {problem}")


@dataclass(frozen=True)
class Block:
    """One sh block.

    Attributes:
        line: The line of its opening fence, counted from 1.
        code: Its lines without the fences and without their common indentation.
        until: For a background block, the text on its output that says it is ready.
        skipped: Why it isn't run, or None.
    """

    line: int
    code: tuple[str, ...]
    until: str | None = None
    skipped: str | None = None


def read_blocks(text: str) -> list[Block]:
    """Find every sh block of a document, in order.

    Raises:
        DirectiveError: A directive is unknown, gives no reason, or has no sh block after it.
    """
    lines = text.splitlines()
    blocks: list[Block] = []
    directive: tuple[int, str] | None = None
    at = 0
    while at < len(lines):
        fence = _OPENING.match(lines[at])
        if fence:
            end = _closing(lines, at, fence[2])
            if fence[3] == "sh":
                blocks.append(_block(at + 1, lines[at + 1 : end], directive))
                directive = None
            at = end
        elif comment := _DIRECTIVE.match(lines[at]):
            _refuse_stray(directive)
            directive = (at + 1, comment[1])
        elif lines[at].strip():
            _refuse_stray(directive)
        at += 1
    _refuse_stray(directive)
    return blocks


def _closing(lines: list[str], opening: int, fence: str) -> int:
    for at in range(opening + 1, len(lines)):
        stripped = lines[at].strip()
        if stripped.startswith(fence) and not stripped.strip(fence[0]):
            return at
    raise DirectiveError(opening + 1, "this block is never closed")


def _block(line: int, code: list[str], directive: tuple[int, str] | None) -> Block:
    plain = tuple(textwrap.dedent("\n".join(code)).split("\n")) if code else ()
    if directive is None:
        return Block(line, plain)
    at, said = directive
    if skip := _SKIP.match(said):
        if not (skip[1] or "").strip():
            raise DirectiveError(at, "skip needs a reason: skip (why)")
        return Block(line, plain, skipped=skip[1].strip())
    if background := _BACKGROUND.match(said):
        return Block(line, plain, until=background[1])
    raise DirectiveError(at, f"unknown directive: {said}")


def _refuse_stray(directive: tuple[int, str] | None) -> None:
    if directive is not None:
        raise DirectiveError(directive[0], "no sh block follows this directive")
