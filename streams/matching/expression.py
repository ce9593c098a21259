"""An expression: parsed once, then indexed, evaluated, or evaluated by the reference."""

import re
from functools import lru_cache
from typing import Final

from streams.matching import limits
from streams.matching.canonical import Document
from streams.matching.compiler import Evaluate, closure_of, compiles
from streams.matching.equality import Branch, branches_of, conjunct_spans
from streams.matching.parse import Parser
from streams.matching.places import refuse
from streams.matching.reference import Program

VARIABLES: Final = frozenset({"event", "async"})

_SEGMENT: Final = re.compile(
    r"""(?:(?P<dot>\.)?(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)"""
    r"""|(?P<bracket>\[(?:"[^"\\\n]+"|'[^'\\\n]+'|[0-9]{1,9})\]))"""
)


class Expression:
    """A checked expression.

    Attributes:
        text: As it was written.
        branches: The equalities to index by; empty where all pending runs must be looked at.
        compiled: Whether it is evaluated without celpy.
        evaluate: Gives the verdict on (trigger event, cancel event or None); raises
            EvaluationError where there is none (S16).
    """

    __slots__ = ("_program", "branches", "compiled", "evaluate", "text")

    def __init__(self, text: str, variables: frozenset[str]) -> None:
        parser = Parser(text, variables)
        root = parser.parse()
        spans = conjunct_spans(root)
        self._program = Program(parser.trees, root.span, spans)
        self.text = text
        self.branches: tuple[Branch, ...] = branches_of(root)
        self.compiled = compiles(root)
        self.evaluate: Evaluate = closure_of(root, spans, self._program.closure)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    @property
    def indexed(self) -> bool:
        """Whether every match has equal keys in a branch."""
        return bool(self.branches)

    @property
    def exact(self) -> bool:
        """Whether equal keys are already a match."""
        return self.indexed and all(branch.exact for branch in self.branches)

    def reference(self, event: Document, async_: Document | None) -> bool:
        """Answer as celpy does, with numbers and types compared by value (S15) and S14.

        Raises:
            EvaluationError: There is no answer, or it is no boolean (S16).
        """
        return self._program.evaluate(event, async_)


def parse(text: str, variables: frozenset[str] = VARIABLES) -> Expression:
    """Check and parse an expression; the same text gives the same object while it is cached.

    `variables` are the names that it may use: a trigger's `if` has `event` alone.

    Raises:
        ExpressionError: It says what is wrong, where, and what to do.
    """
    return _parse(text, frozenset(variables))


@lru_cache(maxsize=limits.CACHED_EXPRESSIONS)
def _parse(text: str, variables: frozenset[str]) -> Expression:
    return Expression(text, variables)


def match_expression(path: str) -> str:
    """Write out the short form of a cancel rule: `match: data.id`.

    Raises:
        ExpressionError: This is no path of members.
    """
    position = 0
    while position < len(path):
        segment = _SEGMENT.match(path, position)
        dotted = segment is not None and segment["dot"] is not None
        if segment is None or (not segment["bracket"] and dotted != (position > 0)):
            message = 'expected a path of members such as data.reportId or data["report-id"]'
            raise refuse(path, position, message)
        position = segment.end()
    if not path or path.startswith("["):
        raise refuse(path, 0, "expected a path that begins with a member, such as data.reportId")
    text = f"event.{path} == async.{path}"
    parse(text)
    return text
