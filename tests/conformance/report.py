"""What a run found, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.conformance.grades import Grade, Graded

_SHOWN = tuple(grade for grade in Grade if grade is not Grade.OUT)


def figures(results: Sequence[Graded]) -> dict[str, Any]:
    """Count the suite's own files; what is accepted and then errs is wrong, too."""
    ours = Counter(r.grade for r in results if not r.case.extension and r.grade is not Grade.OUT)
    return {
        "in_scope": ours.total(),
        "right": ours[Grade.RIGHT],
        "documented": ours[Grade.DOCUMENTED],
        "refused": ours[Grade.REFUSED],
        "wrong": ours[Grade.WRONG] + ours[Grade.ERRS],
        "extensions": {name: _extension(results, name) for name in _extensions(results)},
    }


def _extensions(results: Sequence[Graded]) -> list[str]:
    return sorted({r.case.extension for r in results if r.case.extension})


def _extension(results: Sequence[Graded], name: str) -> dict[str, int]:
    grades = Counter(r.grade for r in results if r.case.extension == name)
    return {"in_scope": grades.total() - grades[Grade.OUT], "right": grades[Grade.RIGHT]}


def table(results: Sequence[Graded]) -> Iterator[str]:
    """Give the grades of each file, line by line."""
    yield f"{'file':<16}" + "".join(f"{grade:>12}" for grade in _SHOWN)
    for file in dict.fromkeys(_file(r) for r in results):
        grades = Counter(r.grade for r in results if _file(r) == file)
        if grades.total() > grades[Grade.OUT]:
            yield f"{file:<16}" + "".join(f"{grades[grade]:>12}" for grade in _SHOWN)
    reasons = Counter(r.case.left_out for r in results if r.grade is Grade.OUT)
    yield "out of scope: " + ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())


def _file(result: Graded) -> str:
    return result.case.id.split("/")[0]


def unlike(results: Sequence[Graded]) -> Iterator[str]:
    """Tell of each case in scope that isn't right."""
    for case, answer, grade in results:
        if grade not in {Grade.RIGHT, Grade.OUT}:
            got = answer.disagree or answer.refused or answer.error or repr(answer.value)
            yield f"{grade}: {case.id}: {case.text}: wanted {case.want!r}, got {got}"


def changes(known: set[str], passing: set[str]) -> list[str]:
    """Say what passes no longer, and what passes without being known."""
    lost = [f"LOST: {id_} passed before" for id_ in sorted(known - passing)]
    new = [f"NEW: {id_} passes now; --write keeps it" for id_ in sorted(passing - known)]
    return lost + new
