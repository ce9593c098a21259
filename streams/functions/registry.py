"""The view of the topic `functions`: which versions of which functions there are, from when on.

A view depends on nothing but the records that compaction keeps, so every router that has read to
one offset has the same, whenever it began to read. A version routes events received from its append
time plus 2 s on; it stays for its cancel rules when a newer one takes over, until it is tombstoned.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams import logs
from streams.errors import DefinitionError, ExpressionError
from streams.functions.compiled import (
    CancelKinds,
    CancelMatcher,
    CompiledFunction,
    compile_definition,
)
from topology import limits
from topology.records import Definition

# Events of late partitions look back a little; each view takes one entry per function and event.
_VIEWS: Final = 16

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """One record of the topic: its key and what it defines."""

    key: str
    compiled: CompiledFunction

    @property
    def deleted(self) -> bool:
        """Whether it says that the function is gone: it triggers nothing."""
        return not self.compiled.trigger_names

    @property
    def identity(self) -> tuple[str, str]:
        """App and id, of which one slug has only one."""
        return self.compiled.function.app, self.compiled.function.id


@dataclass(frozen=True, slots=True)
class FunctionRoute:
    """What events of one name may do to one function.

    Attributes:
        slug: The function.
        triggered: The version that they may trigger, once `triggered_by` agrees.
        cancels: What they may cancel, over all kept versions.
    """

    slug: str
    triggered: CompiledFunction | None
    cancels: CancelMatcher | None


@dataclass(frozen=True, slots=True)
class View:
    """What routes the events received within one epoch: no version begins within it.

    Attributes:
        routes: By event name; no entry for a name that nothing listens to.
        functions: The version of each function that is valid, by slug.
    """

    routes: Mapping[str, tuple[FunctionRoute, ...]]
    functions: Mapping[str, CompiledFunction]


class Registry:
    """The versions of all functions; `apply` takes the records of the topic in their order.

    Attributes:
        damaged: How many records were no function, and ignored.
        position: The offset after the last record applied.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.position = 0
        self._entries: dict[str, _Entry] = {}
        self._views: dict[int, View] = {}
        self._epochs: list[int] = []
        self._view = View({}, {})
        self._begin, self._end = 0, 0

    def apply(self, offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record; one that is damaged is logged, counted, and otherwise ignored."""
        assert offset >= self.position, f"offset {offset} after position {self.position}"
        self.position = offset + 1
        try:
            name = (key or b"").decode()
            slug = name.rpartition("/")[0]
            self._remove(slug, name)
            if value is not None:
                definition = Definition(slug, offset, value)
                compiled = compile_definition(definition, timestamp + limits.VALID_FROM_DELAY_MS)
                self._entries.setdefault(slug, _Entry()).add(Version(name, compiled))
        except (ValueError, DefinitionError, ExpressionError) as error:
            self.damaged += 1
            log.warning("A function is ignored", offset=offset, key=str(key), error=str(error))
        self._forget_views()

    def at(self, received: int) -> View:
        """What routes an event received then; a look-up within one epoch costs two comparisons."""
        if not self._begin <= received < self._end:
            self._enter(received)
        return self._view

    def routes(self, event_name: str, received: int) -> tuple[FunctionRoute, ...]:
        """What an event may trigger and cancel."""
        return self.at(received).routes.get(event_name, ())

    def version_at(self, slug: str, received: int) -> CompiledFunction | None:
        """The version that an event received then may trigger; it may trigger nothing."""
        return self.at(received).functions.get(slug)

    def versions(self, slug: str) -> tuple[Version, ...]:
        """All versions of a function, the newest last."""
        entry = self._entries.get(slug)
        return () if entry is None else tuple(entry.owned)

    def newest(self, slug: str) -> Version | None:
        """The newest version of a function, valid yet or not."""
        return next(reversed(self.versions(slug)), None)

    def slugs(self) -> tuple[str, ...]:
        """The functions that have versions, in the order of their names; deleted ones too."""
        return tuple(sorted(self._entries))

    def ignored(self) -> Iterator[Version]:
        """The versions that are none: their slug belongs to another app and id."""
        for entry in self._entries.values():
            yield from entry.ignored

    def _remove(self, slug: str, key: str) -> None:
        entry = self._entries.get(slug)
        if entry is not None:
            entry.remove(key)
            if not entry.owned:
                del self._entries[slug]

    def _forget_views(self) -> None:
        self._views.clear()
        self._begin, self._end = 0, 0
        self._epochs = []

    def _enter(self, received: int) -> None:
        if not self._epochs:
            starts = {one.compiled.valid_from for e in self._entries.values() for one in e.owned}
            # One that no event reaches at each end, so that every received time lies within two.
            self._epochs = [-(1 << 63), *sorted(starts), 1 << 63]
        after = bisect_right(self._epochs, received)
        self._begin, self._end = self._epochs[after - 1], self._epochs[after]
        view = self._views.pop(self._begin, None) or self._build(received)
        while len(self._views) >= _VIEWS:
            del self._views[next(iter(self._views))]
        self._views[self._begin] = self._view = view

    def _build(self, received: int) -> View:
        routes: dict[str, list[FunctionRoute]] = {}
        functions = {}
        for slug, entry in self._entries.items():
            valid = entry.valid_at(received)
            if not valid:
                continue
            functions[slug] = valid[-1]
            for name, route in entry.routes(valid).items():
                routes.setdefault(name, []).append(route)
        return View({name: tuple(found) for name, found in routes.items()}, functions)


class _Entry:
    """The versions of one slug, in the order of their offsets."""

    def __init__(self) -> None:
        self.owned: list[Version] = []
        self.ignored: list[Version] = []
        self._routes: dict[tuple[int, ...], dict[str, FunctionRoute]] = {}

    def add(self, version: Version) -> None:
        if self.owned and self.owned[0].identity != version.identity:
            (app, id_), (other_app, other_id) = self.owned[0].identity, version.identity
            reason = (
                f"its slug is that of app {app}, id {id_}, not of app {other_app}, id {other_id}"
            )
            log.warning("A function is ignored", key=version.key, error=reason)
            self.ignored.append(version)
        else:
            self.owned.append(version)

    def remove(self, key: str) -> None:
        """Take one away; where the first goes, another app and id may become the owner."""
        self._routes.clear()
        kept = [one for one in (*self.owned, *self.ignored) if one.key != key]
        kept.sort(key=lambda one: one.compiled.version)
        self.owned = [one for one in kept if one.identity == kept[0].identity]
        self.ignored = [one for one in kept if one.identity != kept[0].identity]

    def valid_at(self, received: int) -> tuple[CompiledFunction, ...]:
        return tuple(one.compiled for one in self.owned if one.compiled.valid_from <= received)

    def routes(self, valid: tuple[CompiledFunction, ...]) -> dict[str, FunctionRoute]:
        """The routes by event name, computed once per set of versions."""
        numbers = tuple(one.version for one in valid)
        if numbers not in self._routes:
            newest, kinds = valid[-1], CancelKinds(valid)
            self._routes[numbers] = {
                name: FunctionRoute(
                    newest.slug,
                    newest if name in newest.trigger_names else None,
                    kinds.matcher(name),
                )
                for name in sorted(newest.trigger_names | kinds.events)
            }
        return self._routes[numbers]
