"""What people type into forms, and what is wrong with it."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.dashboard.calls import RefusedCallError

# What a browser's field for a time gives, without a zone: all pages mean UTC.
_LOCAL: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with a field, and where in its text, if that is known."""

    text: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class FormErrors:
    """What is wrong with a form.

    Attributes:
        fields: By field.
        general: What is about none of them.
        status: What the call was answered with; None: nothing is wrong.
    """

    fields: Mapping[str, list[FieldProblem]] = field(default_factory=dict)
    general: str | None = None
    status: int | None = None

    @classmethod
    def of(cls, error: RefusedCallError) -> "FormErrors":
        """The errors of a refused call; its fields have the names of the API's.

        Raises:
            RefusedCallError: neither changing the form helps, nor sending it again.
        """
        if error.status not in {400, 404, 409, 413, 422, 503}:
            raise error
        fields: dict[str, list[FieldProblem]] = defaultdict(list)
        for found in error.problem.get("errors", ()):
            fields[_name(found)].append(FieldProblem(found["detail"], found.get("position")))
        return cls(dict(fields), None if fields else str(error), error.status)

    def __bool__(self) -> bool:
        """Whether something is wrong."""
        return bool(self.fields) or self.general is not None

    def rest(self, *names: str) -> list[str]:
        """What is wrong with fields that the form doesn't show beside one of `names`."""
        others = [found for name, found in self.fields.items() if name not in names]
        told = [] if self.general is None else [self.general]
        return told + [problem.text for found in others for problem in found]


def instant(typed: str) -> str:
    """A time as the API reads it: UTC unless a zone was typed; what is no time stays as it is."""
    text = typed.strip()
    found = _LOCAL.fullmatch(text)
    if found is None:
        return text
    day, minute, rest = found.groups()
    return f"{day}T{minute}{rest or ':00'}Z"


def _name(found: Mapping[str, Any]) -> str:
    """The name of the field that an error is about."""
    if "parameter" in found:
        return str(found["parameter"])
    return str(found.get("pointer", "")).split("/")[1] if found.get("pointer") else ""
