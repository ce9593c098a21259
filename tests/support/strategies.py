"""Hypothesis strategies: events of few names and values, which often agree, and expressions."""

from typing import Any, Final

from hypothesis import strategies as st

NAMES: Final = ("a", "b", "c")
NUMBERS: Final = (
    *(0, 1, -1, 2, 20, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 1.5, 20.0, 2.0**53, 2.0**63, 1e300, -0.1),
)
TEXTS: Final = ("", "a", "b", "1", "true", "null", "é", "e\u0301", "\U0001f431", "s1:a", "a;b")

names: Final = st.sampled_from(NAMES)
scalars: Final = st.sampled_from((*NUMBERS, *TEXTS, True, False, None)) | st.text(max_size=3)
values: Final[st.SearchStrategy[Any]] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
data: Final = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, values))
full_data: Final = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
documents: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {"name": st.sampled_from(("a", "b")), "data": full_data | full_data | data | values},
    optional={"ts": scalars},
)


def respelled(value: Any) -> Any:
    """Write numbers the other way where that is exact: 1 as 1.0, 1.0 as 1."""
    match value:
        case bool():
            return value
        case int() if int(float(value)) == value:
            return float(value)
        case float() if value.is_integer():
            return int(value)
        case list():
            return [respelled(item) for item in value]
        case dict():
            return {key: respelled(value[key]) for key in reversed(value)}
    return value


@st.composite
def document_pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trigger event and a cancel event that often agree, in part or but for their spelling."""
    event, other = draw(documents), draw(documents)
    match draw(st.integers(0, 3)):
        case 0:
            return event, other
        case 1:
            return event, {**event, "name": other["name"]}
        case 2:
            return event, respelled(event)
    ours, theirs = event["data"], other["data"]
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return event, {**other, "data": {**ours, **dict(list(theirs.items())[:1])}}
    return event, other


def literal(value: Any) -> str:
    """Write a scalar as CEL does; there are no negative literals next to a binary minus."""
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(character):08x}" for character in value)
        return f'"{escaped}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"({value!r})" if str(value).startswith("-") else repr(value)


literals: Final = scalars.filter(
    lambda value: not isinstance(value, str) or not any(0xD800 <= ord(c) < 0xE000 for c in value)
).map(literal)


_steps: Final = st.sampled_from((*(f".{name}" for name in NAMES), "[0]"))


@st.composite
def paths(draw: st.DrawFn, variable: str) -> str:
    """A path such as `event.data.a`, `event.data["b"][0]` or, rarely, `event`."""
    start = draw(st.sampled_from((".data", ".data", ".data", ".data", '["data"]', "")))
    steps = draw(st.lists(_steps, min_size=1, max_size=1) | st.lists(_steps, max_size=2))
    return variable + start + "".join(steps)


operands: Final = paths("event") | paths("async") | literals
pairs: Final = st.tuples(paths("event"), paths("async")).flatmap(st.permutations)
same_paths: Final = paths("event").map(lambda path: (path, path.replace("event", "async", 1)))
conjuncts: Final = (pairs | same_paths).map(" == ".join)
# Conditions that often hold, so that what is beside them decides.
holding: Final = st.sampled_from(
    (
        "true",
        "has(event.data)",
        'event.name != "z"',
        "event.data == event.data",
        "1 < 1.5",
        "!false",
    )
)
SYMBOLS: Final = ("==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%")


@st.composite
def _binary(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    return f"({draw(inner)} {draw(st.sampled_from(SYMBOLS))} {draw(inner)})"


@st.composite
def _chain(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    symbol = draw(st.sampled_from((" && ", " || ")))
    return f"({symbol.join(draw(st.lists(inner, min_size=2, max_size=4)))})"


@st.composite
def _applied(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    template = draw(
        st.sampled_from(
            (
                "!{0}",
                "-({0})",
                "size({0})",
                "has(event.data.{name})",
                "has({path}.{name})",
                "({0}).{name}",
                "({0})[{1}]",
                "[{0}, {1}]",
                '{{"a": {0}, "b": {1}}}',
                "{0} ? {1} : {0}",
                "({0}).startsWith({1})",
                "({0}).endsWith({1})",
                "({0}).contains({1})",
                '({0}).matches("^[ab]")',
                "string({0})",
                "int({0})",
                "double({0})",
                "bool({0})",
                "dyn({0})",
                # What would be refused as a literal is the item of a list.
                "{{[{0}][0]: {1}}}",
                '{{"a": {0}, [{1}][0]: {0},}}',
                "[{0}, {1},]",
                "matches({0}, [{1}][0])",
                "({0}).matches([{1}][0])",
                "(duration([{0}][0]) < duration([{1}][0]))",
                "(timestamp(0) == {0})",
                "(timestamp({0}) > timestamp(1))",
                "[{0}, timestamp(1)][{1}]",
            )
        )
    )
    text = template.format(draw(inner), draw(inner), name=draw(names), path=draw(paths("async")))
    return f"({text})"


# What functions of texts, patterns and durations are given, so that they often have an answer.
given: Final = st.sampled_from(
    (
        *("", "a", "b", "ab", "aAbBa", "a,b,,a", "babab"),
        *(" a\u00a0", "\x1ca", "\u00c9a\U0001f431b", "\u0130"),
        *("^a", "[ab]+$", "(", "a{1000}{1000}", "1s", "1h30m", "-1.5s", "0.5ns", "1 hour"),
    )
).map(literal)
positions: Final = st.sampled_from(("0", "0", "1", "2", "3", "7", "(-1)", "1.0", "true"))


@st.composite
def _of_texts(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    template = draw(
        st.sampled_from(
            (
                "({0}).charAt({n}) < {1}",
                "({0}).indexOf({1}) < {n}",
                "({0}).indexOf({1}, {n}) < {m}",
                "({0}).lastIndexOf({1}) < {n}",
                "({0}).lastIndexOf({1}, {n}) < {m}",
                "({0}).lowerAscii() < {1}",
                "({0}).upperAscii() < {1}",
                "({0}).trim() < {1}",
                "size(({0}).trim()) < {n}",
                "({0}).substring({n}) < {1}",
                "({0}).substring({n}, {m}) < {1}",
                "({0}).replace({1}, {2}) < {3}",
                "({0}).replace({1}, {2}, {n}) < {3}",
                "({0}).split({1}) == {2}",
                "({0}).split({1})[{n}] < {2}",
                "({0}).split({1}, {n})[{m}] < {2}",
                "size(({0}).split({1}, {n})) < {m}",
                "({0}).join() < {1}",
                "({0}).join({1}) < {2}",
                "[{0}, {1}, {2}].join({3}) < {0}",
                "({0}).split({1}).join({2}) < {3}",
                "({0}).matches([{1}][0])",
                "matches({0}, [{1}][0])",
                "duration([{0}][0]) < duration([{1}][0])",
            )
        )
    )
    texts = [draw(_rarely(inner, given)) for _ in range(4)]
    numbers = _rarely(inner, positions)
    return f"({template.format(*texts, n=draw(numbers), m=draw(numbers))})"


def _rarely(one: st.SearchStrategy[str], other: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 9).flatmap(lambda number: one if number == 9 else other)


_VARIABLES: Final = ("x", "y", "x")
_LISTS: Final = (
    "[1, 1.5, null]",
    '[["a", "b"], ["b"], []]',
    '[[["a"], ["b"]], [["a", "c"], []], [[1], [1.0]]]',
    '[[1], {"a": ["b"]}, [["a"]]]',
)


@st.composite
def _macro(draw: st.DrawFn, inner: st.SearchStrategy[str], outer: tuple[str, ...] = ()) -> str:
    """A macro that may have another inside, up to three; the third hides the first's variable."""
    variable = _VARIABLES[len(outer)]
    names = (*outer, variable)
    known = st.sampled_from([f"{name}{step}" for name in names for step in ("", "", ".a", "[0]")])
    parts = _rarely(inner, known | literals)
    receiver = draw(_rarely(paths("event"), st.sampled_from((*outer[-1:] * 4, *_LISTS))))
    body = draw(
        st.sampled_from(
            ("{v} == {0}", "{0} == {1}", "{0} != {1}", "{v}.a == {0}", "{0}", "{v} > {0} || {1}")
        )
    )
    if len(names) < len(_VARIABLES) and draw(st.booleans()):
        parts = _macro(inner, names)
        body = draw(st.sampled_from(("{0}", "{0} || {1}", "!({0} && {1})", "{v} == {0}")))
    macro = draw(st.sampled_from(("all", "exists", "exists_one", "existsOne", "filter", "map")))
    text = f"{receiver}.{macro}({variable}, {body.format(draw(parts), draw(parts), v=variable)})"
    if macro in {"filter", "map"} and draw(st.booleans()):
        return draw(st.sampled_from(("size({0}) == 1", "{0} != [{1}]"))).format(text, draw(inner))
    return text


def _extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _chain(inner) | _binary(inner) | _applied(inner) | _of_texts(inner)


_parts: Final = st.recursive(operands | conjuncts | holding, _extended, max_leaves=5)
expressions: Final = (
    st.recursive(operands | conjuncts | holding | _macro(operands), _extended, max_leaves=8)
    | st.lists(conjuncts | holding | _parts, min_size=1, max_size=4).map(" && ".join)
    | st.lists(conjuncts | _chain(conjuncts) | _parts, min_size=1, max_size=3).map(" || ".join)
)
