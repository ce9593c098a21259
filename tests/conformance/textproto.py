"""Reads protobuf's text format, as far as the suite uses it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

# A scalar as it is written, a string's bytes, or a message.
Field: TypeAlias = "str | bytes | Message"

_TOKEN: Final = re.compile(
    r"""\s+|\#[^\n]*
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>-\s*(?:infinity|inf|nan)\b
                  |-?\s*(?:0x[0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)f?
                   (?![\w.]))
      | (?P<name>[A-Za-z_][\w./]*)
      | (?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_SIMPLE: Final = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11}
_CLOSING: Final = {"{": "}", "<": ">"}


class TextError(ValueError):
    """The text isn't protobuf's text format."""


@dataclass(frozen=True)
class Message:
    """The fields of a message, in their order."""

    fields: tuple[tuple[str, Field], ...] = ()

    def every(self, name: str) -> list[Field]:
        """Every value of a field."""
        return [value for field, value in self.fields if field == name]

    def messages(self, name: str) -> list["Message"]:
        """Every message of a field."""
        return [value for value in self.every(name) if isinstance(value, Message)]

    def message(self, name: str) -> "Message | None":
        """The first message of a field, if there is one."""
        return next(iter(self.messages(name)), None)

    def text(self, name: str) -> str:
        """The first string or scalar of a field as text; empty without one."""
        value = next(iter(self.every(name)), "")
        if isinstance(value, Message):
            raise TextError(f"{name} is a message")
        return value.decode() if isinstance(value, bytes) else value


def parse(text: str) -> Message:
    """Read a message.

    Raises:
        TextError: It says which part of the text isn't understood.
    """
    reader = _Reader(list(_tokens(text)))
    return reader.message("")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise TextError(f"not understood: {text[position : position + 60]!r}")
        if match.lastgroup is not None:
            yield match.lastgroup, match.group()
        position = match.end()


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def message(self, end: str) -> Message:
        fields: list[tuple[str, Field]] = []
        while self._next() != end:
            if self._next() in {",", ";"}:
                self._take()
            else:
                name = self._name()
                fields += [(name, value) for value in self._values()]
        if end:
            self._take()
        return Message(tuple(fields))

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise TextError("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _name(self) -> str:
        _, text = self._take()
        if text == "[":  # the type of an `Any`, by its address
            _, text = self._take()
            self._take()
        return text

    def _values(self) -> Iterator[Field]:
        if self._next() == ":":
            self._take()
        if self._next() != "[":
            yield self._value()
            return
        self._take()
        while self._next() != "]":
            yield self._value()
            if self._next() == ",":
                self._take()
        self._take()

    def _value(self) -> Field:
        kind, text = self._take()
        if text in _CLOSING:
            return self.message(_CLOSING[text])
        if kind != "string":
            return text
        value = _unquoted(text)
        while self._at < len(self._tokens) and self._tokens[self._at][0] == "string":
            value += _unquoted(self._take()[1])
        return value


def _unquoted(literal: str) -> bytes:
    """The bytes of a string; octal and hexadecimal escapes are bytes, the others characters."""
    out = bytearray()
    position, body = 0, literal[1:-1]
    for match in _ESCAPE.finditer(body):
        out += body[position : match.start()].encode()
        octal, hexadecimal, short, long, plain = match.groups()
        if octal or hexadecimal:
            out.append(int(octal, 8) if octal else int(hexadecimal, 16))
        elif short or long:
            out += chr(int(short or long, 16)).encode()
        else:
            out.append(_SIMPLE.get(plain, ord(plain)))
        position = match.end()
    return bytes(out + body[position:].encode())
