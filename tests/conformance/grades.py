"""What becomes of a case: right, or in which way it isn't."""

import re
from enum import StrEnum
from typing import Final, NamedTuple

from tests.conformance.cases import Case
from tests.conformance.engine import Answer, ask
from tests.conformance.values import ERROR, same


class Grade(StrEnum):
    """A class of answers.

    Attributes:
        RIGHT: The wanted value, or an error where one is wanted, by every way to ask.
        DOCUMENTED: Another answer, on purpose: `docs/expressions.md` has it.
        REFUSED: The expression isn't accepted.
        ERRS: It is accepted, but there is no overload for it whatever the event is.
        WRONG: Another answer.
        OUT: The case is out of scope.
    """

    RIGHT = "right"
    DOCUMENTED = "documented"
    REFUSED = "refused"
    ERRS = "errs"
    WRONG = "wrong"
    OUT = "out"


class Graded(NamedTuple):
    """A case, what came out, and what that is worth."""

    case: Case
    answer: Answer
    grade: Grade


# Refused on purpose: what is misspelt must not wait for its first event.
_DOCUMENTED: Final = re.compile(r"unknown (variable|function|method) ")


def graded(case: Case) -> Graded:
    """Ask a case, and say what the answer is worth."""
    if case.left_out:
        return Graded(case, Answer(), Grade.OUT)
    answer = ask(case.text, case.event)
    return Graded(case, answer, grade_of(case, answer))


def grade_of(case: Case, answer: Answer) -> Grade:
    """Say what an answer is worth."""
    if answer.disagree:
        return Grade.WRONG
    if same(case.want, answer.value):
        return Grade.RIGHT
    if _DOCUMENTED.match(answer.refused):
        return Grade.DOCUMENTED
    if answer.refused:
        return Grade.REFUSED
    if answer.value is ERROR and "no such overload" in answer.error:
        return Grade.ERRS
    return Grade.WRONG
