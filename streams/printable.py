"""Text from outside as a terminal may show it: what would steer the terminal is escaped.

Names, reasons and errors are written by whoever may produce an event. Raw, an escape sequence in
one of them could hide lines, or type commands, where an operator reads it.
"""

import unicodedata
from typing import Final

# Other than visible: controls, formats (among them those that turn the order of a text around),
# half characters, and separators of lines. All are escaped but joiners, which scripts need.
_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = frozenset({"\u200c", "\u200d"})
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BASIC: Final = 0x10000


def printable(text: str) -> str:
    r"""One line that a terminal shows as it is; `\u001b` stands for an escape.

    Escapes are those of JSON: JSON without line breaks stays JSON, with the same value.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(one) if _steers(one) else one for one in text)


def printable_lines(text: str) -> str:
    """Each line of a text as `printable` gives it."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _steers(one: str) -> bool:
    return unicodedata.category(one) in _STEERING and one not in _JOINERS


def _escaped(one: str) -> str:
    code = ord(one)
    if code < _BASIC:
        return _SHORT.get(one) or f"\\u{code:04x}"
    high, low = divmod(code - _BASIC, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
