"""Checks the text of an expression before celpy's parser sees it.

celpy's lexer is looser than CEL: it reads `a inside` as `a in side`, takes exponential time on an
unterminated string, and has no limits. Text that it would read differently from the specification,
or that has no meaning for JSON, is refused here.
"""

import re
import sys
from typing import Final, NamedTuple

from streams.matching import limits
from streams.matching.places import refuse

_TOKEN: Final = re.compile(
    r"""
      (?P<space>[ \t\n\f\r]+|//[^\n]*)
    | (?P<bytes>[bB][rR]?["']|[rR][bB]["'])
    | (?P<string>[rR]?(?:\"\"\"|'''|"|'))
    | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    | (?P<quoted>`[^`\n]*`)
    | (?P<number>0x[0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<operator>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    r"\\(?:[abfnrtv\"'`?\\]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
)
# What can't stand directly behind a string.
_GLUED: Final = re.compile(r"(?!in\b)[\w\"'\\]")
# What the specification allows between backticks.
_QUOTED: Final = re.compile(r"`[-a-zA-Z0-9_./ ]+`")
_OPENING: Final = "([{"
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_SIMPLE: Final = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_INT64: Final = 2**63
_SURROGATES: Final = range(0xD800, 0xE000)


class Token(NamedTuple):
    """A token: its kind (a group of `_TOKEN`), its text and its offset in the expression."""

    kind: str
    text: str
    position: int


def check(text: str) -> None:
    """Refuse a text that is too long, too deep, or that celpy would misread.

    Raises:
        ExpressionError: It says where, and what to write instead.
    """
    _check_length(text)
    tokens = _tokens(text)
    if not tokens:
        raise refuse(text, 0, "the expression is empty: leave the field out to match always")
    if len(tokens) > limits.TOKENS:
        place = tokens[limits.TOKENS].position
        raise refuse(text, place, f"over {limits.TOKENS} tokens: split the rule in several")
    _check_neighbours(text, tokens)
    _check_brackets(text, tokens)


def decode(literal: str) -> str:
    """Give the value of a string literal that `check` has accepted."""
    raw = literal[0] in "rR"
    body = literal[1:] if raw else literal
    width = 3 if body[:3] in {'"""', "'''"} else 1
    body = body[width:-width]
    return body if raw else _ESCAPE.sub(_unescape, body)


def _unescape(match: re.Match[str]) -> str:
    escape = match.group()[1:]
    if escape[0] in "xXuU":
        return chr(int(escape[1:], 16))
    if escape[0].isdigit():
        return chr(int(escape, 8))
    return chr(_SIMPLE.get(escape, ord(escape)))


def _check_length(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.EXPRESSION_BYTES:
        message = f"{size} bytes are over the limit of {limits.EXPRESSION_BYTES}: shorten it"
        raise refuse(text, limits.EXPRESSION_BYTES, message)


def _tokens(text: str) -> list[Token]:
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise refuse(text, position, _unexpected(text[position]))
        kind, end = str(match.lastgroup), match.end()
        if kind == "string":
            end = _string_end(text, match)
        elif kind == "bytes":
            raise refuse(text, position, "bytes have no place in JSON: write a string")
        elif kind == "number":
            _check_number(text, match)
        if kind != "space":
            tokens.append(Token(kind, text[position:end], position))
        position = end
    return tokens


def _unexpected(character: str) -> str:
    hints = {"=": "compare with ==", "&": "write &&", "|": "write ||", "`": "close it with another"}
    hint = hints.get(character, "only strings may hold it")
    return f"unexpected character {character!r}: {hint}"


def _string_end(text: str, opening: re.Match[str]) -> int:
    raw = opening.group()[0] in "rR"
    quote = opening.group().lstrip("rR")
    position = opening.end()
    while position < len(text):
        if text.startswith(quote, position):
            end = position + len(quote)
            if raw and text[position - 1] == "\\" and _GLUED.match(text, end):
                message = "a raw string ends at its quote, also behind a backslash: leave out the r"
                raise refuse(text, position - 1, message)
            return end
        character = text[position]
        if character == "\\" and not raw:
            position += _escape_length(text, position)
            continue
        if len(quote) == 1 and character in "\r\n":
            break
        if ord(character) in _SURROGATES:
            raise refuse(text, position, "a lone surrogate is no character: remove it")
        position += 1
    raise refuse(text, opening.start(), f"the string is not closed: add {quote}")


def _escape_length(text: str, position: int) -> int:
    match = _ESCAPE.match(text, position)
    if match is None:
        raise refuse(text, position, r"unknown escape: write \\ for a backslash")
    if match.group()[1] in "uU":
        code = int(match.group().lstrip("\\uU"), 16)
        if code > sys.maxunicode or code in _SURROGATES:
            raise refuse(text, position, f"{match.group()} is no character: write its code point")
    return len(match.group())


def _check_number(text: str, match: re.Match[str]) -> None:
    number, position = match.group(), match.start()
    following = text[match.end() : match.end() + 1]
    if following in {"u", "U"}:
        raise refuse(text, position, f"JSON has no unsigned numbers: write {number}")
    if following == "." or following.isalnum() or following == "_":
        message = "malformed number: write digits, then optionally a point and more digits"
        raise refuse(text, position, message)
    if number.startswith("0x") or number.isdigit():
        negative = text[:position].rstrip().endswith("-")
        value = int(number, 16 if number.startswith("0x") else 10)
        if value > _INT64 - 1 + negative:
            raise refuse(text, position, f"{number} is beyond 64 bits: write it as {number}.0")
    elif float(number) == float("inf"):
        raise refuse(text, position, f"{number} is too large for a double")


def _check_neighbours(text: str, tokens: list[Token]) -> None:
    previous = Token("operator", "", 0)
    for token in tokens:
        if _is_operand(token, previous) and _is_operand(previous, Token("operator", "", 0)):
            message = f"{token.text} follows {previous.text} without an operator between them"
            raise refuse(text, token.position, message)
        if token.kind == "quoted":
            _check_quoted(text, token, previous)
        if previous.kind == "quoted" and token.text == "(":
            raise refuse(text, previous.position, "a method's name stands without backticks")
        if previous.text == "." and token.text in {"true", "false", "in"}:
            message = f'{token.text} is a reserved word: write ["{token.text}"] without the dot'
            raise refuse(text, token.position, message)
        previous = token


def _check_quoted(text: str, token: Token, previous: Token) -> None:
    if previous.text != ".":
        raise refuse(text, token.position, "a name in backticks stands after a dot: a.`b-c`")
    if _QUOTED.fullmatch(token.text) is None:
        message = (
            'between backticks stand letters, digits and _ . - / or spaces: else write ["name"]'
        )
        raise refuse(text, token.position, message)


def _is_operand(token: Token, previous: Token) -> bool:
    if token.kind == "name":
        return token.text != "in" or previous.text == "."
    return token.kind in {"number", "string", "quoted"}


def _check_brackets(text: str, tokens: list[Token]) -> None:
    open_brackets: list[Token] = []
    for token in tokens:
        if token.kind != "operator":
            continue
        if token.text in _OPENING:
            open_brackets.append(token)
            if len(open_brackets) > limits.NESTING:
                message = f"nested over {limits.NESTING} levels: remove brackets or split the rule"
                raise refuse(text, token.position, message)
        elif token.text in _CLOSING:
            if not open_brackets or open_brackets[-1].text != _CLOSING[token.text]:
                raise refuse(text, token.position, f"{token.text} closes nothing: remove it")
            open_brackets.pop()
    if open_brackets:
        last = open_brackets[-1]
        raise refuse(text, last.position, f"{last.text} is not closed")
