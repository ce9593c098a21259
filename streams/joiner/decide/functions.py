"""What is compiled of functions and requests, kept as long as it is used and there is room."""

from collections.abc import Callable
from typing import Final

from streams import logs, matching
from streams.errors import DefinitionError, ExpressionError
from streams.functions.compiled import TRIGGER_VARIABLES, CompiledFunction, compile_definition
from streams.joiner.decide.recent import Recent
from topology import limits
from topology.codec import CodecError
from topology.records import Definition, Function

# Why a version can't be compiled.
_STAND_IN_BYTES: Final = 1_024
UNUSABLE: Final = (CodecError, DefinitionError, ExpressionError)

log = logs.get(__name__)


class Functions:
    """Compiled versions of functions, and compiled conditions of requests.

    All partitions of a process share one, since each would compile the same; used in turns.
    """

    def __init__(self) -> None:
        self._compiled: Recent[tuple[str, int], CompiledFunction] = Recent(limits.COMPILED_BYTES)

    def get(self, slug: str, version: int, body: Callable[[], bytes]) -> CompiledFunction:
        """The compiled version; `body` gives its JSON if it must be compiled, maybe once more.

        Raises:
            CodecError, DefinitionError, ExpressionError: it can't be.
        """
        compiled = self._compiled.get((slug, version))
        if compiled is None:
            definition = Definition(slug, version, body())
            compiled = compile_definition(definition)
            self._compiled.put((slug, version), compiled, len(definition.body))
        return compiled

    def stand_in(self, slug: str, version: int, error: Exception) -> CompiledFunction:
        """What stands for a version that can't be compiled: its runs wait, expire, and go.

        An earlier release has let it in. None of its rules matches.
        """
        log.error("A function can't be used", function=slug, version=version, error=str(error))
        compiled = CompiledFunction(
            Definition(slug, version, b""), Function(app="", id=slug), valid_from=0
        )
        self._compiled.put((slug, version), compiled, _STAND_IN_BYTES)
        return compiled

    def condition(self, text: str) -> matching.Expression:
        """The compiled condition of a request; routers have checked that it compiles."""
        return matching.parse(text, TRIGGER_VARIABLES)  # which keeps a bounded number of them
