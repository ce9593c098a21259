"""Bounds of one expression; celpy has none of its own.

Without them three nested macros over ten items each take celpy 0.2 s, 200 parentheses end in a
RecursionError, and `duration` matches its argument with a pattern that backtracks exponentially.
"""

from typing import Final

EXPRESSION_BYTES: Final = 2 * 1024
TOKENS: Final = 1_000
NODES: Final = 300
# Brackets, unary operators, ternaries, arithmetic and the segments of one path all count as levels.
NESTING: Final = 32
DURATION_CHARS: Final = 64
# A macro runs on the thread that routes or decides, in celpy at roughly 100 µs an item.
MACRO_ITEMS: Final = 1_000
# Deeper values are neither equal nor a key: an answer must not depend on the caller's stack.
VALUE_DEPTH: Final = 64
# Characters or items that `+` may join: `map` repeats a `+` for each of its items.
CONCATENATION_LENGTH: Final = 64 * 1024
# Parsed expressions kept per process, of about 20 KiB each.
CACHED_EXPRESSIONS: Final = 4_096

assert NESTING < NODES < TOKENS < EXPRESSION_BYTES
