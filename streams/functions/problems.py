"""What is wrong with a definition, and where."""

from dataclasses import dataclass
from typing import TypeAlias

# Names of fields as they were written, and places in lists from 0.
FieldPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong thing in a definition.

    Attributes:
        path: The field.
        message: What is wrong, and what to do.
        code: The kind of problem, for programs.
        source: The file, or empty.
        line: The line in the file from 1, or 0.
        position: The place in an expression from 0, or None.
    """

    path: FieldPath
    message: str
    code: str = "invalid"
    source: str = ""
    line: int = 0
    position: int | None = None

    @property
    def field(self) -> str:
        """The field as people write it: `functions[0].cancel_on[1].if`."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path]
        return "".join(parts).removeprefix(".")

    @property
    def pointer(self) -> str:
        """The field as a JSON pointer (RFC 6901)."""
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in self.path]
        return "".join(f"/{part}" for part in parts)

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.field, self.message) if part)
