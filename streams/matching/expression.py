"""An expression: parsed once, then indexed, evaluated, or evaluated by the reference."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from streams.errors import BudgetError, EvaluationError
from streams.matching import limits, patterns
from streams.matching.budget import Meter, cost_of, is_closed
from streams.matching.canonical import Document
from streams.matching.compiler import Evaluate, closure_of, closure_of_value, compiles
from streams.matching.equality import Branch, branches_of, conjunct_spans, residual_of
from streams.matching.nodes import Call, Literal, Macro, Node, Reference
from streams.matching.parse import Parser
from streams.matching.places import refuse
from streams.matching.reference import Program
from streams.matching.vocabulary import FUNCTIONS

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
    """

    __slots__ = (
        "_closure",
        "_cost",
        "_program",
        "_residual",
        "_root",
        "branches",
        "compiled",
        "text",
    )

    def __init__(self, text: str, variables: frozenset[str]) -> None:
        parser = Parser(text, variables)
        root = parser.parse()
        spans = conjunct_spans(root)
        self._program = Program(parser.trees, root, spans)
        self._root = root
        self.text = text
        self.branches: tuple[Branch, ...] = branches_of(root)
        self.compiled = compiles(root)
        self._cost = sum(cost_of(root))
        self._closure: Evaluate = closure_of(root, spans, self._program.closure)
        rest = residual_of(root)
        self._residual: Evaluate = (
            self._closure if rest is None else closure_of(rest, spans, self._program.closure)
        )

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def check_literals(self) -> None:
        """Refuse an expression whose literals alone take more than an evaluation may (S37).

        Neither may a conversion of literals have no answer: `timestamp("2026-13-01T00:00:00Z")`.

        Raises:
            ExpressionError: It says which part.
        """
        meter = Meter()
        meter.begin(0)
        for node in _literal_parts(self._root):
            try:
                self._take_literal(node, meter)
            except EvaluationError as error:
                if isinstance(node, Call) and node.name in FUNCTIONS:
                    message = f"{node.name} has no answer, whatever the event: {error}"
                    raise refuse(self.text, node.span[0], message) from None
                # It says so when it is evaluated, or an operand beside it decides.
            except BudgetError:
                message = "takes more than an evaluation may, whatever the event: shorten it"
                raise refuse(self.text, node.span[0], message) from None

    def _take_literal(self, node: Node, meter: Meter) -> None:
        match node:
            case Call(name="matches", arguments=(_, Literal(value=str(pattern)))):
                meter.charge(patterns.price("", pattern))
            case _ if is_closed(node):
                closure_of_value(node, self._program.closure)({}, None, meter)

    @property
    def indexed(self) -> bool:
        """Whether every match has equal keys in a branch."""
        return bool(self.branches)

    @property
    def exact(self) -> bool:
        """Whether equal keys are already a match."""
        return self.indexed and all(branch.exact for branch in self.branches)

    def mentions(self, variable: str) -> bool:
        """Whether it reads `event`, or `async`, anywhere."""
        return _mentions(self._root, variable)

    def evaluate(self, event: Document, async_: Document | None, meter: Meter) -> bool:
        """Give the verdict on a trigger event and a cancel event, None for a trigger's condition.

        Raises:
            EvaluationError: There is no answer, or it is no boolean (S16).
            BudgetError: It takes more than the budget that the meter allows (S37).
        """
        meter.begin(self._cost)
        return self._closure(event, async_, meter)

    def evaluate_rest(self, event: Document, async_: Document, meter: Meter) -> bool:
        """Like `evaluate`, for two events with equal keys: the index has decided that much.

        Raises:
            EvaluationError: There is no answer, or it is no boolean (S16).
            BudgetError: It takes more than the budget that the meter allows (S37).
        """
        meter.begin(self._cost)
        return self._residual(event, async_, meter)

    def reference(self, event: Document, async_: Document | None, meter: Meter) -> bool:
        """Answer as celpy does, with numbers and types compared by value (S15) and S14.

        Raises:
            EvaluationError: There is no answer, or it is no boolean (S16).
            BudgetError: It takes more than the budget that the meter allows (S37).
        """
        meter.begin(0)
        return self._program.evaluate(event, async_, meter)


def parse(text: str, variables: frozenset[str] = VARIABLES) -> Expression:
    """Check and parse an expression; the same text gives the same object while it is cached.

    `variables` are the names that it may use: a trigger's `if` has `event` alone.

    Raises:
        ExpressionError: It says what is wrong, where, and what to do.
    """
    return _parse(text, frozenset(variables))


def check(text: str, variables: frozenset[str] = VARIABLES) -> Expression:
    """Like `parse`, for an expression that is new: refuse also what no event would ever make cheap.

    An expression that is stored already is only parsed: its literals count when it is evaluated.

    Raises:
        ExpressionError: It says what is wrong, where, and what to do.
    """
    expression = parse(text, variables)
    expression.check_literals()
    return expression


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


def _mentions(node: Node, variable: str) -> bool:
    if isinstance(node, Reference) and node.variable == variable:
        return True
    return any(_mentions(child, variable) for child in node.children())


def _literal_parts(node: Node) -> Iterator[Node]:
    """Give the parts that are more than a literal, inner ones first: the first fault has its place.

    The body of a macro isn't a part: what it reads is the macro's.
    """
    for child in (node.receiver,) if isinstance(node, Macro) else node.children():
        yield from _literal_parts(child)
    if not isinstance(node, Literal):
        yield node
