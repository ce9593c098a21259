"""What a query of Prometheus asks for. Its syntax is promtool's to check; this only finds names."""

import re
from typing import Final, NamedTuple

_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_GROUPING: Final = re.compile(
    r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", re.ASCII
)
_TIME: Final = re.compile(r"\[[^]]*\]|\boffset\s+\w+")
_SELECTOR: Final = re.compile(r"(?<![\w.$])([A-Za-z_:][\w:]*)\s*(\{[^}]*\}|\()?")
_MATCHER: Final = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*@(\d+)")
_OPERATORS: Final = {"and", "or", "unless", "bool"}


class Matcher(NamedTuple):
    """What a label must be, or must not be."""

    label: str
    operator: str
    value: str

    def takes(self, value: str) -> bool:
        """Whether a series with this value of the label is selected."""
        same = self.value == value
        if "~" in self.operator:
            same = re.fullmatch(self.value, value) is not None
        return same == self.operator.startswith("=")


class Selector(NamedTuple):
    """A metric, and which of its series."""

    metric: str
    matchers: tuple[Matcher, ...]


class Query(NamedTuple):
    """All that a query names: `kept` are the labels by which it sums, None if it doesn't."""

    selectors: tuple[Selector, ...]
    labels: frozenset[str]
    kept: frozenset[str] | None


def read(expression: str) -> Query:
    """Find the names in a query."""
    strings: list[str] = []

    def hidden(match: re.Match[str]) -> str:
        strings.append(match[1])
        return f"@{len(strings) - 1}"

    text = _TIME.sub("", _STRING.sub(hidden, expression))
    groupings = [(kind, _names(names)) for kind, names in _GROUPING.findall(text)]
    sums = [names for kind, names in groupings if kind == "by"]
    text = _GROUPING.sub("", text)
    selectors = tuple(
        Selector(
            name,
            tuple(
                Matcher(label, operator, strings[int(at)].replace("\\\\", "\\"))
                for label, operator, at in _MATCHER.findall(rest)
            ),
        )
        for name, rest in _SELECTOR.findall(text)
        if rest != "(" and name not in _OPERATORS
    )
    labels = frozenset(name for _, names in groupings for name in names)
    return Query(selectors, labels, frozenset().union(*sums) if sums else None)


def _names(listed: str) -> frozenset[str]:
    return frozenset(name.strip() for name in listed.split(",") if name.strip())
