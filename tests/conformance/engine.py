"""What an expression answers: compiled, and by the reference."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from celpy import celtypes

from streams.errors import EvaluationError, ExpressionError
from streams.matching import Meter, check
from streams.matching.compiler import closure_of_value
from streams.matching.equality import conjunct_spans
from streams.matching.expression import VARIABLES
from streams.matching.parse import Parser
from streams.matching.reference import Program
from tests.conformance.values import ERROR, same


class Answer(NamedTuple):
    """What came out.

    Attributes:
        value: The value, or ERROR.
        refused: What the author of the expression is told, where it isn't accepted.
        error: Why there is no answer, where it is accepted.
        disagree: How the ways to ask differ, where they do (S17).
    """

    value: Any = ERROR
    refused: str = ""
    error: str = ""
    disagree: str = ""


def ask(text: str, event: dict[str, Any]) -> Answer:
    """Ask in every way: for the value, compiled and by celpy; a boolean as a rule's verdict, too.

    An error that isn't the engine's own goes through: it is a bug.
    """
    try:
        ways = _ways(text)
    except ExpressionError as error:
        return Answer(refused=error.message)
    answers = {way: _answer(evaluate, event) for way, evaluate in ways.items()}
    first = answers["compiled"]
    if type(first.value) is not bool and first.value is not ERROR:
        del answers["verdict"], answers["verdict of celpy"]  # no rule may end so
    disagree = ""
    if not all(same(first.value, answer.value) for answer in answers.values()):
        disagree = ", ".join(f"{way}: {answer.value!r}" for way, answer in answers.items())
    return first._replace(disagree=disagree)


_Evaluate: TypeAlias = Callable[[dict[str, Any], None, Meter], object]


def _ways(text: str) -> dict[str, _Evaluate]:
    expression = check(text)
    parser = Parser(text, VARIABLES)
    root = parser.parse()
    program = Program(parser.trees, root, conjunct_spans(root))
    return {
        "compiled": closure_of_value(root, program.closure),
        "celpy": program.closure(root),
        "verdict": expression.evaluate,
        "verdict of celpy": expression.reference,
    }


def _answer(evaluate: _Evaluate, event: dict[str, Any]) -> Answer:
    try:
        return Answer(_plain(evaluate(event, None, Meter.off())))
    except EvaluationError as error:
        return Answer(error=str(error))


def _plain(value: Any) -> Any:
    """A value of celpy's as Python's; times are our own."""
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    for kind in (int, float, str):
        if isinstance(value, kind) and type(value) is not bool:
            return kind(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
