"""Every error that Countermand raises on purpose.

A message says what is wrong and then what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

# Names of fields as they were written, and places in lists from 0.
FieldPath: TypeAlias = tuple[str | int, ...]


class CountermandError(Exception):
    """Base of every error that Countermand raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a definition.

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
        """Its path as people write it: `functions[0].cancel_on[1].if`."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path]
        return "".join(parts).removeprefix(".")

    @property
    def pointer(self) -> str:
        """Its path as a JSON pointer (RFC 6901)."""
        parts = [str(part).replace("~", "~0").replace("/", "~1") for part in self.path]
        return "".join(f"/{part}" for part in parts)

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.field, self.message) if part)


class DefinitionError(CountermandError):
    """A function's definition is wrong; `problems` has all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class RegistryError(CountermandError):
    """The topic `functions` can't be read or written as it must be."""


class BrokerError(CountermandError):
    """The local broker cannot be fetched, started or stopped."""


class SettingsError(CountermandError):
    """A setting is unknown, or its value can't be used."""


class TopicsError(CountermandError):
    """A topic is missing or made the wrong way; the message has the command that mends it."""


class UnreachableError(CountermandError):
    """Kafka, or the API, doesn't answer."""


class KafkaRefusedError(CountermandError):
    """Kafka answers, and refuses: not allowed, too large, or not possible."""


class DatabaseError(CountermandError):
    """The SQL database doesn't answer, refuses, or has another schema than this release needs."""


class TopicRemadeError(CountermandError):
    """A topic was deleted and made anew while it was read, so its offsets mean something else."""


class RouterError(CountermandError):
    """A router can't go on: it ends before it commits, and the next router repeats its work."""


class TransactionError(CountermandError):
    """A transaction was not committed; `code` is the code of Kafka's error, None if it has none."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class AbortedError(TransactionError):
    """The transaction left nothing behind: the same may be tried again."""


class FencedError(TransactionError):
    """The producer can't go on, because of a rival or a timeout: a new one comes next."""


class GaveUpError(TransactionError):
    """The producer was told to stop while the brokers didn't answer.

    Whether the transaction was committed isn't known: the next producer of its id finds out.
    """


class WriteRefusedError(CountermandError):
    """Kafka doesn't take what a worker writes, however often it is tried."""


class RecordRefusedError(WriteRefusedError):
    """Kafka never takes one of these records: it is too large, or invalid."""

    code: Final = "RecordRefused"


class NotAllowedError(WriteRefusedError):
    """A worker has no right to write to a topic."""


class JoinerError(CountermandError):
    """A partition can't go on."""


class StoreError(JoinerError):
    """A partition's disk refuses: the partition is closed, and opened again."""


class DamagedStoreError(StoreError):
    """A partition's disk can't be read: it is wiped, since the changelog has all of it."""


class UnreadableError(JoinerError):
    """A record that only Countermand writes can't be read; skipping it would lose data."""


class LostInputError(JoinerError):
    """A partition's input is not where it left off; going on would lose or repeat records."""


class NotFoundError(CountermandError):
    """What was named is not there."""


class RefusedError(CountermandError):
    """What was asked for would do harm, or contradicts what is there."""


class MatchingError(CountermandError):
    """An expression cannot be used, or has no answer."""


class ExpressionError(MatchingError):
    """An expression is refused when applied; `position` counts from 0, line and column from 1."""

    def __init__(self, message: str, *, position: int, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class EvaluationError(MatchingError):
    """An expression has no answer for these events: no match, and the caller counts the error."""


class BudgetError(MatchingError):
    """An evaluation takes more than it may (S37): no match; no `||` or macro goes on after it."""
