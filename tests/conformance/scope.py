"""Which expressions have a meaning for JSON, and how bound names are asked of an event."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_STRING: Final = r"""(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''"""
_SHORT: Final = r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
_RAW: Final = r"""(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')"""
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+|//[^\n]*)
      | (?P<string>(?:[bB]?[rR][bB]?{_RAW}|[bB]?{_STRING}{_SHORT}))
      | (?P<number>0x[0-9a-fA-F]+[uU]?|(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?[uU]?)
      | (?P<quoted>`[^`\n]*`)
      | (?P<name>[A-Za-z_@]\w*)
      | (?P<operator>&&|\|\||[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_BYTES: Final = re.compile(r"[rR]?[bB]")
_MACROS: Final = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_TYPES: Final = frozenset(
    {
        *("int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"),
        "dyn",
    }
)
_PACKAGES: Final = frozenset(
    {
        *("google", "cel", "proto", "proto2", "proto3"),
        *("TestAllTypes", "NestedTestAllTypes", "GlobalEnum"),
    }
)
_OPERANDS: Final = frozenset({"name", "string", "quoted", "number"})


class Token(NamedTuple):
    """A piece of an expression."""

    kind: str
    text: str

    def is_mark(self, *texts: str) -> bool:
        """Whether it is one of these operators or brackets."""
        return self.kind == "operator" and self.text in texts


_NOTHING: Final = Token("", "")


def tokens_of(expression: str) -> list[Token]:
    """The tokens of an expression with the spaces between them; joined they are its text."""
    return [Token(str(m.lastgroup), m.group()) for m in _TOKEN.finditer(expression)]


def without_meaning(expression: str) -> str | None:
    """Say what in an expression has no meaning for JSON; None: nothing."""
    solid = [token for token in tokens_of(expression) if token.kind != "space"]
    for at, token in enumerate(solid):
        before = solid[at - 1] if at else _NOTHING
        after = solid[at + 1] if at + 1 < len(solid) else _NOTHING
        found = _of_token(token, before, after) or _of_bracket(solid, at, before)
        if found:
            return found
    return None


def _of_token(token: Token, before: Token, after: Token) -> str | None:
    match token.kind:
        case "string":
            return "bytes" if _BYTES.match(token.text) else None
        case "number":
            return "uint" if token.text[-1] in "uU" else None
        case "name" if not before.is_mark("."):
            return _of_name(token.text, after)
    return None


def _of_name(name: str, after: Token) -> str | None:
    called = after.is_mark("(")
    if name in {"bytes", "uint"} and called:
        return name
    if name == "type" or (name in _TYPES and not called):
        return "type()"
    if name in _PACKAGES:
        return "protobuf messages"
    return "optional syntax" if name == "optional" else None


def _of_bracket(solid: list[Token], at: int, before: Token) -> str | None:
    token = solid[at]
    behind_operand = before.kind in _OPERANDS or before.is_mark(")", "]", "}")
    if token.is_mark(".") and not behind_operand:
        return "namespaces"
    if token.is_mark("?") and before.is_mark(".", "[", "{", ","):
        return "optional syntax"
    if not token.is_mark("{"):
        return None
    if before.kind in {"name", "quoted"} and before.text != "in":
        return "protobuf messages"
    if any(_is_no_text(key) for key in _keys(solid, at)):
        return "map keys that are no strings"
    return None


def _keys(solid: list[Token], opening: int) -> Iterator[list[Token]]:
    """The keys of the map that begins at a bracket."""
    depth, key, in_key = 0, list[Token](), True
    for token in solid[opening + 1 : closing_of(solid, opening)]:
        depth += token.is_mark("(", "[", "{") - token.is_mark(")", "]", "}")
        if depth == 0 and token.is_mark(","):
            key, in_key = [], True
        elif depth == 0 and token.is_mark(":") and in_key:
            yield key
            in_key = False
        elif in_key:
            key.append(token)


def _is_no_text(key: list[Token]) -> bool:
    first = key[0] if key else _NOTHING
    constant = len(key) == 1 and first.text in {"true", "false", "null"}
    return first.kind == "number" or constant or first.is_mark("-")


def closing_of(solid: list[Token], opening: int) -> int:
    """Where the bracket closes that opens at `opening`."""
    depth = 0
    for at in range(opening, len(solid)):
        depth += solid[at].is_mark("(", "[", "{") - solid[at].is_mark(")", "]", "}")
        if depth == 0:
            return at
    return len(solid)


def asked_of_event(expression: str, names: frozenset[str], literals: Mapping[str, str]) -> str:
    """Write bound names as members of `event`, or as literals; not what a macro binds itself."""
    tokens = tokens_of(expression)
    for at in _free(tokens):
        name = tokens[at].text
        if name in names:
            tokens[at] = Token("name", literals.get(name, f"event.{name}"))
    return "".join(token.text for token in tokens)


def free_names(expression: str) -> set[str]:
    """The names of an expression that no macro binds and that aren't members."""
    tokens = tokens_of(expression)
    return {tokens[at].text for at in _free(tokens)}


def _free(tokens: list[Token]) -> list[int]:
    """Where names stand that are looked up outside of the expression."""
    places = [at for at, token in enumerate(tokens) if token.kind != "space"]
    solid = [tokens[at] for at in places]
    bound: list[tuple[str, int]] = []
    found = []
    for n, token in enumerate(solid):
        before = solid[n - 1] if n else _NOTHING
        after = solid[n + 1] if n + 1 < len(solid) else _NOTHING
        bound = [(name, end) for name, end in bound if n <= end]
        if token.text in _MACROS and before.is_mark(".") and after.is_mark("("):
            bound.append((solid[n + 2].text, closing_of(solid, n + 1)))
        elif token.kind == "name" and not before.is_mark(".") and token.text not in dict(bound):
            found.append(places[n])
    return found
