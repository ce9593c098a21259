"""Compiled functions and conditions take bounded memory, however many distinct ones come."""

import gc
import tracemalloc
from collections import Counter

import pytest

from streams import matching
from streams.functions.definition import read_text
from streams.joiner.decide.functions import Functions
from streams.matching.limits import CACHED_EXPRESSIONS, EXPRESSION_BYTES
from topology import codec, limits

_FUNCTION = """
functions:
  - id: f
    app: a
    triggers: [{event: begin}]
"""
# Each is as large as expressions of its kind may be.
_LARGE_EXPRESSIONS = [
    pytest.param(" || ".join(f"event.a=={n}" for n in range(70)), id="equalities"),
    pytest.param(f"event.a in [{','.join(str(n) for n in range(290))}]", id="numbers"),
    pytest.param(f"event.a in [{','.join(['[(1)]'] * 140)}]", id="lists"),
    pytest.param("||".join(f"event.a.exists(x,x.b>{n})" for n in range(30)), id="macros"),
    pytest.param("||".join(f"event.a.matches('a{n}')" for n in range(40)), id="patterns"),
    pytest.param(f"event.a == '{'x' * (EXPRESSION_BYTES - 20)}'", id="text"),
]


class Bodies:
    """The bodies of a function's versions, and how often each was read."""

    def __init__(self, body: bytes) -> None:
        self.read: Counter[int] = Counter()
        self._body = body

    def compile(self, functions: Functions, version: int) -> None:
        """Let a run of this version be decided on."""

        def body() -> bytes:
            self.read[version] += 1
            return self._body

        assert functions.get("a-f", version, body).version == version


def test_old_versions_are_forgotten() -> None:
    """What nobody has used for long is compiled again from its row."""
    [function] = read_text(_FUNCTION)
    body = codec.encode_function(function) + b" " * 50_000
    fitting = limits.COMPILED_BYTES // len(body)
    functions, bodies = Functions(), Bodies(body)
    for version in range(2 * fitting):
        bodies.compile(functions, version)
        bodies.compile(functions, 0)  # in use all the time
    for version in (0, 1, fitting, 2 * fitting - 1):
        bodies.compile(functions, version)
    assert [bodies.read[version] for version in (0, 1, fitting, 2 * fitting - 1)] == [1, 2, 2, 1]


def test_old_conditions_are_forgotten() -> None:
    """Cancellations with ever new conditions don't fill the memory."""
    functions = Functions()
    first = functions.condition("event.data.number == 0")
    assert functions.condition("event.data.number == 0") is first
    for number in range(1, CACHED_EXPRESSIONS + 1):
        functions.condition(f"event.data.number == {number}")
    again = functions.condition("event.data.number == 0")
    assert (again is first, again.text) == (False, first.text)


@pytest.mark.parametrize("text", _LARGE_EXPRESSIONS)
def test_an_expression_takes_no_more_than_is_stated(text: str) -> None:
    """350 MiB are stated for all parsed expressions that a process keeps."""
    matching.parse("event.data.first == 1")  # what all expressions share is made with the first
    gc.collect()
    tracemalloc.start()
    try:
        kept = matching.parse(text)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.text == text
    assert size * CACHED_EXPRESSIONS <= 350 * 1024 * 1024
