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
# Macros inside each other: what is inside is evaluated for each item of each list around.
MACROS: Final = 3
DURATION_CHARS: Final = 64
# In the units of `budget`: an evaluation computes for about 20 ms, on the thread that routes or
# decides; of these the first list that it walks takes a fifth of its time, which is thus 100 ms.
EVALUATION_BUDGET: Final = 20_000_000
# What only celpy can evaluate takes 50 to 80 µs for each item.
REFERENCE_ITEMS: Final = 1_000
# Deeper values are neither equal nor a key: an answer must not depend on the caller's stack.
VALUE_DEPTH: Final = 64
# Characters or items that `+`, `join` and `replace` may make: `map` repeats them for each item.
CONCATENATION_LENGTH: Final = 64 * 1024
# What RE2 may keep of a pattern: of one that it can compile with little, and of any other.
SMALL_PATTERN_BYTES: Final = 256 * 1024
SMALL_PATTERNS: Final = 256
LARGE_PATTERN_BYTES: Final = 8 * 1024 * 1024
LARGE_PATTERNS: Final = 8
# Of one that comes with an event: with the less of these two that it can be compiled with.
GIVEN_PATTERN_CHARS: Final = 1_024
GIVEN_PATTERN_BYTES: Final = (8 * 1024, 128 * 1024)
GIVEN_PATTERNS: Final = 64
PATTERNS_BYTES: Final = 136 * 1024 * 1024
# Parsed expressions kept per process: 10 MiB if each takes 20 KiB, as most do, and 350 MiB if each
# takes 700 KiB, with as many nodes and brackets as it may have.
CACHED_EXPRESSIONS: Final = 512

assert NESTING < NODES < TOKENS < EXPRESSION_BYTES
assert (
    SMALL_PATTERNS * SMALL_PATTERN_BYTES
    + LARGE_PATTERNS * LARGE_PATTERN_BYTES
    + GIVEN_PATTERNS * max(GIVEN_PATTERN_BYTES)
    <= PATTERNS_BYTES
)
