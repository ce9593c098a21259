"""The cases of the suite: what is asked, what is wanted, and why one is out of scope."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from streams.matching.times import Duration, Timestamp
from tests.conformance import scope
from tests.conformance.textproto import Message, parse
from tests.conformance.values import ERROR, OutOfScopeError, literal, value_of

# Files about what this language doesn't have. Of some, the tests that use nothing but these names
# are in scope.
_OTHER_FILES: Final = {
    "bindings_ext": "cel.bind",
    "block_ext": "cel.block",
    "encoders_ext": "encoders",
    "enums": "enums",
    "macros2": "two-variable macros",
    "math_ext": "math",
    "network_ext": "network",
    "optionals": "optional syntax",
    "proto2": "protobuf messages",
    "proto2_ext": "protobuf messages",
    "proto3": "protobuf messages",
    "wrappers": "protobuf messages",
}
_EXTENSIONS: Final = {
    "string_ext": frozenset(
        {
            *("charAt", "indexOf", "join", "lowerAscii", "replace", "split", "substring", "trim"),
            *("lastIndexOf", "upperAscii", "dyn", "size", "string", "true", "false", "null"),
        }
    ),
}
_CONSTANTS: Final = frozenset({"true", "false", "null"})


@dataclass(frozen=True)
class Case:
    """One test of the suite.

    Attributes:
        id: `file/section/name`; where two have one name, the later has a number behind it.
        extension: The file of an extension that it belongs to, else empty.
        text: The expression; bound names are members of `event`.
        event: What they are bound to.
        want: The value, or ERROR.
        left_out: Why it is out of scope, else empty.
    """

    id: str
    extension: str
    text: str
    event: dict[str, Any] = field(default_factory=dict)
    want: Any = ERROR
    left_out: str = ""


def read(folder: Path) -> list[Case]:
    """Read every file of the suite, in order.

    Raises:
        FileNotFoundError: There is none in this folder.
    """
    paths = sorted(folder.glob("*.textproto"))
    if not paths:
        raise FileNotFoundError(f"no *.textproto in {folder}")
    return [case for path in paths for case in cases_of(path.stem, path.read_text("utf-8"))]


def cases_of(file: str, text: str) -> list[Case]:
    """Read the tests of one file."""
    times: dict[str, int] = {}
    cases = []
    for section, test in _tests(parse(text)):
        name = f"{file}/{section}/{test.text('name')}"
        times[name] = times.get(name, 0) + 1
        cases.append(_case(file, name if times[name] == 1 else f"{name}/{times[name]}", test))
    return cases


def _tests(root: Message) -> Iterator[tuple[str, Message]]:
    for section in root.messages("section"):
        for test in section.messages("test"):
            yield section.text("name"), test


def _case(file: str, id_: str, test: Message) -> Case:
    extension = file if file in _EXTENSIONS else ""
    expression = test.text("expr")
    try:
        want, bindings = _wanted(test), _bindings(test)
    except OutOfScopeError as error:
        return Case(id_, extension, expression, left_out=str(error))
    declared = {d.text("name") for d in test.messages("type_env") if d.message("ident")}
    names = frozenset(name.split(".")[0] for name in declared | set(bindings)) - _CONSTANTS
    left_out = (
        _OTHER_FILES.get(file, "")
        or _not_asked(test)
        or scope.without_meaning(expression)
        or _of_names(test.text("container"), expression, declared | set(bindings))
        or _beyond(file, expression)
    )
    literals = {name: literal(v) for name, v in bindings.items() if _is_time(v)}
    text = scope.asked_of_event(expression, names, literals)
    return Case(id_, extension, text, _event(bindings), want, left_out or "")


def _wanted(test: Message) -> Any:
    if test.message("eval_error") or test.message("any_eval_errors"):
        return ERROR
    typed = test.message("typed_result")
    value = test.message("value") or (typed and typed.message("result"))
    return True if value is None else value_of(value)


def _bindings(test: Message) -> dict[str, Any]:
    bound = {}
    for binding in test.messages("bindings"):
        outer = binding.message("value")
        value = outer and outer.message("value")
        if value is None:
            raise OutOfScopeError("unknowns")
        bound[binding.text("key")] = value_of(value)
    return bound


def _not_asked(test: Message) -> str | None:
    if test.every("unknown") or test.every("any_unknowns"):
        return "unknowns"
    if test.text("check_only") == "true":
        return "the type checker alone"
    if test.text("disable_macros") == "true":
        return "macros turned off"
    return None


def _of_names(container: str, expression: str, declared: set[str]) -> str | None:
    """Whether a test is about how names are looked up in packages."""
    used = scope.free_names(expression)
    if container and used & {part for name in declared for part in (name, name.split(".")[-1])}:
        return "namespaces"
    nested = any(other.startswith(f"{name}.") for name in declared for other in declared)
    return "namespaces" if nested else None


def _beyond(file: str, expression: str) -> str | None:
    """Whether a test of an extension uses a function that isn't in scope."""
    if file not in _EXTENSIONS:
        return None
    tokens = scope.tokens_of(expression)
    names = {token.text for token in tokens if token.kind == "name"}
    return None if names <= _EXTENSIONS[file] else "other functions of the extension"


def _is_time(value: object) -> bool:
    return isinstance(value, Timestamp | Duration)


def _event(bindings: Mapping[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, value in bindings.items():
        if not _is_time(value):
            *outer, last = name.split(".")
            target = event
            for part in outer:
                target = target.setdefault(part, {})
            target[last] = value
    return event
