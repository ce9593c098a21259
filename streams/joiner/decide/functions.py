"""What is compiled of functions and requests, kept for the life of a partition's processor."""

from collections.abc import Callable

from streams import matching
from streams.functions.compiled import TRIGGER_VARIABLES, CompiledFunction, compile_definition
from topology.records import Definition


class Functions:
    """Compiled versions of functions, and compiled conditions of requests."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], CompiledFunction] = {}
        self._conditions: dict[str, matching.Expression] = {}

    def get(self, slug: str, version: int, body: Callable[[], bytes]) -> CompiledFunction:
        """The compiled version; `body` gives its JSON if it hasn't been compiled yet."""
        compiled = self._compiled.get((slug, version))
        if compiled is None:
            compiled = compile_definition(Definition(slug, version, body()))
            self._compiled[slug, version] = compiled
        return compiled

    def condition(self, text: str) -> matching.Expression:
        """The compiled condition of a request; routers have checked that it compiles."""
        condition = self._conditions.get(text)
        if condition is None:
            condition = self._conditions[text] = matching.parse(text, TRIGGER_VARIABLES)
        return condition
