"""The functions, methods and macros that an expression may use, and what they may be given."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, TypeAlias

from streams.matching import times
from streams.matching.nodes import Literal, Node
from streams.matching.patterns import compiled

Arities: TypeAlias = Mapping[str, tuple[int, ...]]

FUNCTIONS: Final[Arities] = {
    "size": (1,),
    "int": (1,),
    "double": (1,),
    "string": (1,),
    "bool": (1,),
    "timestamp": (1,),
    "duration": (1,),
    "dyn": (1,),
    "matches": (2,),
}
METHODS: Final[Arities] = {
    "size": (0,),
    "startsWith": (1,),
    "endsWith": (1,),
    "contains": (1,),
    "matches": (1,),
    "charAt": (1,),
    "indexOf": (1, 2),
    "join": (0, 1),
    "lastIndexOf": (1, 2),
    "lowerAscii": (0,),
    "replace": (2, 3),
    "split": (1, 2),
    "substring": (1, 2),
    "trim": (0,),
    "upperAscii": (0,),
    **dict.fromkeys(times.METHODS, (0, 1)),
}
# The macro's variable counts as an argument.
MACROS: Final[Arities] = {
    "all": (2,),
    "exists": (2,),
    "exists_one": (2,),
    "existsOne": (2,),
    "map": (2,),
    "filter": (2,),
}
SYNONYMS: Final = {"existsOne": "exists_one"}
# What `matches` is called in the syntax tree if its pattern is no literal.
GIVEN_PATTERN: Final = "matches_given"


def fault_of_call(kind: str, known: Arities, name: str, count: int) -> str | None:
    """Say what is wrong with a call's name or number of arguments; None: nothing."""
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
        return f"unknown {kind} {name}: {hint}"
    if count not in known[name]:
        wanted = " or ".join(map(str, known[name]))
        return f"{name} takes {wanted} argument{'s' * (wanted != '1')}, not {count}"
    return None


def fault_of_argument(name: str, argument: Node) -> str | None:
    """Say what is wrong with a literal that is the last argument of a call; None: nothing."""
    if name not in {"duration", "matches"} or not isinstance(argument, Literal):
        return None
    text = argument.value
    if type(text) is not str:
        example = {"duration": 'duration("10m")', "matches": 'matches("^a")'}[name]
        return f"{name} takes a string, as in {example}"
    if name == "duration":
        if not times.is_duration(text):
            return 'not a duration: write numbers with units, as in duration("1h30m")'
        return None
    try:
        compiled(text)
    except ValueError as error:
        return str(error)
    return None
