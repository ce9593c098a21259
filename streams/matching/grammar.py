"""A parser of celpy's grammar, and its trees without wrappers: the only module that calls lark.

celpy itself keeps one parser per process, whose trees are of the class that the first celpy
Environment asked for. The parser here is built from the same grammar and belongs to nobody else.
Its strings and names are CEL's, though: celpy's strings go on behind the end of a raw one, and its
names have no backticks.
"""

import re
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import Final, TypeAlias, cast

from lark import Lark, Token, Tree
from lark.exceptions import LarkError, UnexpectedInput

from streams.errors import ExpressionError
from streams.matching.nodes import Span
from streams.matching.places import refuse

Syntax: TypeAlias = Tree[Token]

# What celpy's grammar lacks: a comma may follow the last item of a list or a map.
_AMENDED: Final = {
    'list_lit       : "[" [exprlist] "]"': (
        'list_lit : "[" [listed] "]"\nlisted : expr ("," expr)* [","] -> exprlist'
    ),
    'expr ":" expr ("," expr ":" expr)*': 'expr ":" expr ("," expr ":" expr)* [","]',
}
_WRAPPERS: Final = frozenset(
    {
        "expr",
        "conditionalor",
        "conditionaland",
        "relation",
        "addition",
        "multiplication",
        "unary",
        "member",
    }
)
# Of two that fit, the longer pattern is tried first.
_TERMINALS: Final = {
    "IDENT": r"/(?:[_a-zA-Z][_a-zA-Z0-9]*|`[^`\n]+`)/",
    "STRING_LIT": (
        r"""/(?:[rR]"[^"\n]*"|[rR]'[^'\n]*'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')/"""
    ),
    "MLSTRING_LIT": (
        r"""/(?:[rR]"{3}[\s\S]*?"{3}|[rR]'{3}[\s\S]*?'{3}"""
        r"""|"{3}(?:\\[\s\S]|[^\\])*?"{3}|'{3}(?:\\[\s\S]|[^\\])*?'{3})/"""
    ),
}
_lock: Final = Lock()


def syntax_of(text: str) -> Syntax:
    """Parse a text that `lexer.check` has accepted, and leave out wrappers with one child.

    Raises:
        ExpressionError: The text is no CEL expression.
    """
    try:
        with _lock:
            tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    except (LarkError, RecursionError) as error:
        raise refuse(text, 0, f"not a CEL expression: {type(error).__name__}") from None
    return _unwrap(tree)


def span_of(tree: Syntax) -> Span:
    """Give the span of a tree in the text, by which the parts of an expression are known."""
    assert tree.meta.start_pos is not None
    return (tree.meta.start_pos, tree.meta.end_pos)


@cache
def _parser() -> Lark:
    """Build the parser with the options of celpy's own."""
    grammar = files("celpy").joinpath("cel.lark").read_text("utf-8")
    for name, pattern in _TERMINALS.items():
        before, after = re.split(rf"^{name} .*\n(?: +\|.*\n)*", grammar, flags=re.MULTILINE)
        grammar = f"{before}{name} : {pattern}\n{after}"
    for rule, amended in _AMENDED.items():
        assert grammar.count(rule) == 1, "celpy has another grammar"
        grammar = grammar.replace(rule, amended)
    return Lark(
        grammar,
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        lexer_callbacks={"IDENT": _name_or_boolean},
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )


def _name_or_boolean(token: Token) -> Token:
    """Tell true and false from names, as celpy does, but keep their place in the text."""
    if token.value.startswith("`"):
        return Token.new_borrow_pos("IDENT", token.value[1:-1], token)
    if token.value in {"true", "false"}:
        return Token.new_borrow_pos("BOOL_LIT", token.value, token)
    return token


def _syntax_error(text: str, error: UnexpectedInput) -> ExpressionError:
    token: Token | None = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return refuse(text, len(text), "the expression ends too early")
    position = int(getattr(error, "pos_in_stream", None) or 0)
    unexpected = text[position] if token is None else str(token)
    return refuse(text, position, f"unexpected {unexpected!r}: check what stands before it")


def _unwrap(tree: Syntax) -> Syntax:
    """Replace each wrapper by its only child, iteratively: left-deep chains may be long."""
    pending = [root := _inner(tree)]
    while pending:
        current = pending.pop()
        for index, child in enumerate(current.children):
            if isinstance(child, Tree):
                current.children[index] = inner = _inner(child)
                pending.append(inner)
    return root


def _inner(tree: Syntax) -> Syntax:
    while True:
        only = tree.children[0] if len(tree.children) == 1 else None
        if not isinstance(only, Tree):
            return tree
        bracketed = tree.data == "primary" and only.data == "paren_expr"
        if tree.data not in _WRAPPERS and not bracketed:
            return tree
        tree = cast("Syntax", only.children[0]) if bracketed else only
