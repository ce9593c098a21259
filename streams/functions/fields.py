"""The fields of a mapping, read by name and kind; problems are collected, not raised."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from streams import durations, matching
from streams.errors import ExpressionError, FieldPath, Problem
from streams.functions.source import Item, Kind
from topology import limits

# Accepted beside every field's name and its camelCase form.
_OTHER_NAMES: Final = {"app_id": "app", "appId": "app"}


class Problems:
    """The problems of one source, in the order in which they are noticed.

    Attributes:
        source: The file, or empty.
        stored: Whether what is read was applied before, so that what only new definitions are
            refused for is no problem.
        noted: The problems.
    """

    def __init__(self, source: str, *, stored: bool = False) -> None:
        self.source = source
        self.stored = stored
        self.noted: list[Problem] = []

    def add(
        self, path: FieldPath, line: int, message: str, code: str = "invalid", at: int | None = None
    ) -> None:
        """Note what is wrong with the field at `path`; `at` is a place in its expression."""
        self.noted.append(Problem(path, message, code, self.source, line, at))


class Fields:
    """The fields of a mapping, by name; unknown keys become problems."""

    def __init__(
        self, item: Item, path: FieldPath, names: tuple[str, ...], problems: Problems
    ) -> None:
        self.line = item.line
        self._usable = item.kind is Kind.MAPPING
        self._path = path
        self._problems = problems
        self._given: dict[str, tuple[str, Item]] = {}
        if not self._usable:
            problems.add(path, item.line, f"must be a mapping, not {item.kind.value}", "type")
            return
        known = {_camel(name): name for name in names} | {name: name for name in names}
        known |= {other: name for other, name in _OTHER_NAMES.items() if name in names}
        for written, member in item.members:
            self._take(written, member, known)

    @property
    def stored(self) -> bool:
        """Whether the mapping is part of a version that was applied before."""
        return self._problems.stored

    def refuse(self, name: str, message: str, code: str = "invalid", at: int | None = None) -> None:
        """Note what is wrong with a field, under the name that it was given by."""
        written, item = self._given.get(name, (name, None))
        self._problems.add(
            (*self._path, written), self.line if item is None else item.line, message, code, at
        )

    def refuse_whole(self, message: str, code: str) -> None:
        """Note what is wrong with the mapping as a whole, unless it is no mapping anyway."""
        if self._usable:
            self._problems.add(self._path, self.line, message, code)

    def has(self, name: str) -> bool:
        """Whether the field is given; a field that is null is not."""
        return name in self._given

    def text(self, name: str, longest: int, *, required: bool = False) -> str | None:
        """Give a text that is not empty; None where there is none, or a problem with it."""
        item = self._item(name, Kind.TEXT, required=required)
        if item is None:
            return None
        if not _encodable(item.text):
            self.refuse(name, "has half a surrogate pair, which is no character")
        elif not item.text.strip():
            self.refuse(name, "must not be empty")
        elif len(item.text) > longest:
            self.refuse(name, f"has {len(item.text)} characters, at most {longest} are allowed")
        else:
            return item.text
        return None

    def name(self, name: str, pattern: re.Pattern[str], meaning: str, longest: int) -> str | None:
        """Give a required text that matches the pattern; None where there is a problem with it."""
        text = self.text(name, longest, required=True)
        if text is not None and pattern.fullmatch(text) is None:
            self.refuse(name, meaning)
            return None
        return text

    def flag(self, name: str) -> bool | None:
        """Give true or false; None where it is not given, or a problem."""
        item = self._item(name, Kind.FLAG)
        return None if item is None else item.flag

    def duration(
        self, name: str, least_ms: int = 1, most_ms: int = limits.LONGEST_MS
    ) -> int | None:
        """Give a duration in ms; None where it is not given, or a problem."""
        if name in self._given and self._given[name][1].kind is Kind.NUMBER:
            self.refuse(name, "a duration has a unit: 90s, 10m, 24h, 7d", "duration")
            return None
        item = self._item(name, Kind.TEXT)
        if item is None:
            return None
        try:
            duration_ms = durations.parse_duration(item.text)
        except ValueError as error:
            self.refuse(name, str(error), "duration")
            return None
        if duration_ms < least_ms:
            least = durations.format_duration(least_ms)
            self.refuse(name, f"must be at least {least}", "duration")
            return None
        if duration_ms > most_ms:
            most = durations.format_duration(most_ms)
            self.refuse(name, f"must be at most {most}", "duration")
            return None
        return duration_ms

    def duration_or_instant(self, name: str) -> tuple[int | None, int | None]:
        """Give a duration in ms and None, or None and an instant in ms since 1970."""
        text = self._given[name][1].text if name in self._given else ""
        if re.match(r"[0-9]+-", text) is None:
            return self.duration(name), None
        try:
            return None, durations.parse_instant(text)
        except ValueError as error:
            self.refuse(name, str(error), "instant")
            return None, None

    def expression(
        self, name: str, variables: frozenset[str], longest: int
    ) -> matching.Expression | None:
        """Give a CEL expression over these variables; None where it is not given, or a problem."""
        text = self.text(name, longest)
        read = matching.parse if self.stored else matching.check
        try:
            return None if text is None else read(text, variables)
        except ExpressionError as error:
            self.refuse_expression(name, error)
            return None

    def refuse_expression(self, name: str, error: ExpressionError) -> None:
        """Note the error of an expression, with its place in the text."""
        line = f"line {error.line}, " if error.line > 1 else ""
        place = f"{line}column {error.column} of the expression"
        self.refuse(name, f"{error.message} ({place})", "expression", error.position)

    def items(
        self, name: str, most: int, *, required: bool = False
    ) -> Iterator[tuple[Item, FieldPath]]:
        """Give the items of a list, each with its path."""
        item = self._item(name, Kind.LIST, required=required)
        if item is None:
            return
        if required and not item.items:
            self.refuse(name, "must not be empty")
        if len(item.items) > most:
            self.refuse(name, f"has {len(item.items)} entries, at most {most} are allowed")
        written = self._given[name][0]
        for index, entry in enumerate(item.items):
            yield entry, (*self._path, written, index)

    def fields(self, name: str, names: tuple[str, ...]) -> "Fields":
        """Give the fields of a mapping in this mapping; without any where it is not given."""
        item = self._item(name, Kind.MAPPING)
        written = self._given[name][0] if name in self._given else name
        mapping = Item(Kind.MAPPING, self.line) if item is None else item
        return Fields(mapping, (*self._path, written), names, self._problems)

    def _take(self, written: str, item: Item, known: dict[str, str]) -> None:
        path = (*self._path, written)
        name = known.get(written)
        if name is None:
            close = get_close_matches(written, known, 1, 0.5)
            names = ", ".join(dict.fromkeys(known.values()))
            hint = f"did you mean {close[0]}?" if close else f"there are {names}"
            self._problems.add(path, item.line, f"unknown key: {hint}", "unknown")
        elif name in self._given:
            other = self._given[name][0]
            self._problems.add(path, item.line, f"is also given as {other}: keep one of them")
        elif item.kind is not Kind.NOTHING:
            self._given[name] = (written, item)

    def _item(self, name: str, kind: Kind, *, required: bool = False) -> Item | None:
        if name not in self._given:
            if required and self._usable:
                self.refuse(name, "is missing", "missing")
            return None
        item = self._given[name][1]
        if item.kind is kind:
            return item
        hint = ": put it in quotes" if kind is Kind.TEXT and item.text else ""
        self.refuse(name, f"must be {kind.value}, not {item.kind.value}{hint}", "type")
        return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
