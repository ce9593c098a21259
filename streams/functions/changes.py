"""What applying definitions would change, and which versions are no longer needed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from streams import matching
from streams.errors import RefusedError
from streams.functions.compiled import CompiledRule, compile_definition
from streams.functions.definition import as_document
from streams.functions.registry import Registry, Version
from topology import codec, limits
from topology.keys import Path
from topology.records import Definition, Function, Json


class Change(Enum):
    """How the wanted function differs from its newest version."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """The value of a field before and after; None where it is not given."""

    field: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class RuleReport:
    """How a cancel rule finds its runs.

    Attributes:
        index: Its place in `cancel_on`.
        event: The name of the cancel event.
        expression: Over both events; None where it cancels every run.
        keys: Per `||` branch, the members of the cancel event by which runs are looked up; empty
            where every pending run is scanned.
        evaluated: Whether the expression is also evaluated for these runs.
        compiled: Whether it is evaluated without celpy.
    """

    index: int
    event: str
    expression: str | None
    keys: tuple[tuple[str, ...], ...]
    evaluated: bool
    compiled: bool

    @property
    def indexed(self) -> bool:
        """Whether a cancel looks its runs up by key instead of scanning every partition."""
        return bool(self.keys)


@dataclass(frozen=True, slots=True)
class Difference:
    """What applying a function changes, and how its rules will match."""

    function: Function
    change: Change
    fields: tuple[FieldChange, ...]
    rules: tuple[RuleReport, ...]

    @property
    def slug(self) -> str:
        """The function's name."""
        return self.function.slug


def compare(registry: Registry, functions: Iterable[Function]) -> tuple[Difference, ...]:
    """Say what applying these functions would change.

    Raises:
        RefusedError: A slug belongs to another app and id, or is declared in another way.
    """
    return tuple(_difference(registry.newest(wanted.slug), wanted) for wanted in functions)


def superseded(registry: Registry, now_ms: int) -> Iterator[Version]:
    """Give the versions to tombstone: no run that was registered with them can be pending.

    The versions of a function go from the oldest on. The version that marks its deletion goes last,
    since without it an older version would start runs again. Versions that are ignored for their
    app and id go at once, since they would be valid when the owner of their slug is gone.
    """
    yield from registry.ignored()
    for slug in registry.slugs():
        versions = registry.versions(slug)
        for older, newer in pairwise(versions):
            if not _over(older, newer.compiled.valid_from, now_ms):
                break
            yield older
        else:
            newest = versions[-1]
            if newest.deleted and _over(newest, newest.compiled.valid_from, now_ms):
                yield newest


def rule_reports(function: Function) -> tuple[RuleReport, ...]:
    """Give how each cancel rule of a function finds its runs."""
    body = codec.encode_function(function)
    compiled = compile_definition(Definition(function.slug, 0, body))
    return tuple(_report(rule) for rule in compiled.rules)


def _difference(newest: Version | None, function: Function) -> Difference:
    before: dict[str, Json] = {}
    change = Change.NEW
    if newest is not None:
        if newest.identity != (function.app, function.id):
            app, id_ = newest.identity
            raise RefusedError(
                f"{function.slug} is already the name of app {app}, id {id_}: choose another id"
            )
        if newest.compiled.function.remote != function.remote and not newest.deleted:
            owner = "an Inngest app" if newest.compiled.function.remote else "a file or a worker"
            raise RefusedError(
                f"{function.slug} is declared by {owner}: choose another id, or first run "
                f"countermand functions delete {function.slug}"
            )
        if newest.compiled.function == function:
            change = Change.UNCHANGED
        elif not newest.deleted:
            change = Change.CHANGED
            before = _shown(newest.compiled.function, function)
    after = _shown(function, function if newest is None else newest.compiled.function)
    changed = [
        FieldChange(field, before.get(field), after.get(field))
        for field in dict.fromkeys((*before, *after))
        if change is not Change.UNCHANGED and before.get(field) != after.get(field)
    ]
    return Difference(function, change, tuple(changed), rule_reports(function))


def _shown(function: Function, other: Function) -> dict[str, Json]:
    """The fields of a function, and its level where that isn't the other's."""
    differs = function.semantics != other.semantics
    level = {"semantics": function.semantics} if differs else {}
    return dict(_leaves("", as_document(function))) | level


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(f"{path}.{name}".removeprefix("."), member)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    else:
        yield path, value


def _over(version: Version, since_ms: int, now_ms: int) -> bool:
    return since_ms + version.compiled.function.pending_for_ms + limits.DAY_MS <= now_ms


def _report(rule: CompiledRule) -> RuleReport:
    text = rule.rule.expression
    return RuleReport(
        index=rule.index,
        event=rule.event,
        expression=text,
        keys=tuple(tuple(path_text(path) for path in kind.paths) for kind in rule.kinds),
        evaluated=rule.needs_evaluation,
        compiled=text is None or matching.parse(text).compiled,
    )


def path_text(path: Path) -> str:
    """Write out a path of members: `data.reportId`."""
    parts = [
        f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
        for part in path
    ]
    return "".join(parts).removeprefix(".")
