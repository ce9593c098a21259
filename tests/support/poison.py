"""Records with one field at or beyond its bounds, or that are no JSON at all.

They are drawn from a `Random`, since Hypothesis would take a second for a hundred of them; it draws
the seeds.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

Json: TypeAlias = Any
# Where a value lies in a document: names of fields and places in lists.
Path: TypeAlias = tuple[str | int, ...]

SEEDS: Final = st.integers(0, 2**32)
_FEW: Final = 0.1
_NUMBERS: Final = (
    *(0, 1, -1, 255, 256, 2**31 - 1, 2**31, 2**47, 2**48 - 2, 2**48 - 1, 2**48, 2**53 + 1),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**63), -(2**63) - 1, -(10**30)),
    *(0.5, -0.0, 1e300, float("inf"), float("nan")),
)
_TEXTS: Final = (
    *("", " ", "x", "\x00", "\x1b[2J", "\ud800", "é", "\U0001f431", "a/b", "../x", "0", "*"),
    *("x" * 300, "0" * 26, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
    *("true", "1 == 1", "event.data.x == async.data.x", "((((", "2026-01-01T00:00:00Z"),
)
_deep: Json = 1
for _ in range(150):
    _deep = [_deep]
VALUES: Final[Sequence[Json]] = (
    *_NUMBERS,
    *_TEXTS,
    *(None, True, False, [], {}, [None], {"": None}, [[]], {"a": {"b": [1]}}, _deep),
    *([1] * 300, {str(number): number for number in range(300)}),
)
RAW: Final[Sequence[bytes | None]] = (
    *(None, b"", b"\xff", b"\x00", b"null", b"1", b'"x"', b"[]", b"{}", b"{", b"\xef\xbb\xbf{}"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5_000, b'{"a":1e400}', b'{"a":"\xff"}'),
)


def paths(document: Json, path: Path = ()) -> Iterator[Path]:
    """Where the values of a document lie."""
    yield path
    members: Iterator[tuple[str | int, Json]] = iter(())
    if isinstance(document, dict):
        members = iter(document.items())
    elif isinstance(document, list):
        members = iter(enumerate(document))
    for name, member in members:
        yield from paths(member, (*path, name))


def changed(document: Json, path: Path, value: Json) -> Json:
    """The document with another value at a path."""
    if not path:
        return value
    made = copy.deepcopy(document)
    parent = made
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return made


def without(document: Json, path: Path) -> Json:
    """The document without the value at a path."""
    made = copy.deepcopy(document)
    parent = made
    for name in path[:-1]:
        parent = parent[name]
    del parent[path[-1]]
    return made


def value_like(random: Random, documents: Sequence[Json]) -> bytes | None:
    """The bytes of a record: one of some documents with something wrong; mostly one value."""
    if random.random() < _FEW:
        return random.choice(RAW)
    document = random.choice(documents)
    path = random.choice(list(paths(document)))
    if path and random.random() < _FEW:
        document = without(document, path)
    else:
        document = changed(document, path, random.choice(VALUES))
    text = json.dumps(document).encode()
    return text[: random.randint(0, len(text))] if random.random() < _FEW else text
