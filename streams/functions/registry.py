"""What the topic `functions` holds: which versions of which functions are valid at which time.

A registry depends only on records that compaction keeps, so all routers that have read up to an
offset have the same registry, whenever they began to read. A version routes events received 2 s
after its append or later. Its triggers count until a newer version is valid, its cancel rules until
it is tombstoned.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams import logs
from streams.functions.compiled import (
    CancelMatcher,
    CompiledFunction,
    cancel_matchers,
    compile_definition,
)
from topology import limits
from topology.codec import UnknownLevelError
from topology.records import Definition

# Kept, since events of late partitions look back; a view has an entry per function and event.
_VIEWS: Final = 16

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """A record of the topic: its key and what it defines."""

    key: str
    compiled: CompiledFunction

    @property
    def deleted(self) -> bool:
        """Whether it marks the function's deletion, by having no triggers."""
        return not self.compiled.trigger_names

    @property
    def identity(self) -> tuple[str, str]:
        """App and id: all valid versions of a slug have the same."""
        return self.compiled.function.app, self.compiled.function.id


@dataclass(frozen=True, slots=True)
class FunctionRoute:
    """What events of a name may do to a function.

    Attributes:
        slug: The function.
        triggered: The version that they trigger if its `triggered_by` is true; None: none.
        cancels: What they may cancel, over all kept versions; None: nothing.
        only_starts: Whether each of them starts a run that waits at home, and does nothing else.
    """

    slug: str
    triggered: CompiledFunction | None
    cancels: CancelMatcher | None
    only_starts: bool


@dataclass(frozen=True, slots=True)
class View:
    """What routes events received within an epoch, in which no version becomes valid.

    Attributes:
        routes: By event name; names that trigger and cancel nothing have no entry.
        functions: The valid version of each function, by slug.
    """

    routes: Mapping[str, tuple[FunctionRoute, ...]]
    functions: Mapping[str, CompiledFunction]


class Registry:
    """The versions of all functions; `apply` takes the records of the topic in their order.

    Attributes:
        damaged: How many records were ignored because they are no function.
        position: The offset after the last record applied.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.position = 0
        self._limiter = logs.Limiter()
        self._entries: dict[str, _Entry] = {}
        self._views: dict[int, View] = {}
        self._epochs: list[int] = []
        self._view = View({}, {})
        self._begin, self._end = 0, 0

    def apply(self, offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> None:
        """Apply a record; a damaged record is logged, counted and otherwise ignored.

        Raises:
            UnknownLevelError: A later release has written it: no rule of it may be dropped.
        """
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
        except UnknownLevelError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the other functions go on (S38)
            self.damaged += 1
            suppressed = self._limiter.admit("damaged")
            if suppressed is not None:
                place = {"offset": offset, "key": str(key), "suppressed": suppressed}
                log.warning("A function is ignored", **place, error=str(error))
        self._forget_views()

    def at(self, received: int) -> View:
        """Give what routes events received then (ms); the same epoch costs two comparisons."""
        if not self._begin <= received < self._end:
            self._enter(received)
        return self._view

    def routes(self, event_name: str, received: int) -> tuple[FunctionRoute, ...]:
        """Give what an event of this name, received then (ms), may trigger and cancel."""
        return self.at(received).routes.get(event_name, ())

    def version_at(self, slug: str, received: int) -> CompiledFunction | None:
        """Give the version that is valid for events received then (ms); None: there is none."""
        return self.at(received).functions.get(slug)

    def versions(self, slug: str) -> tuple[Version, ...]:
        """Give all versions of a function, the newest last."""
        entry = self._entries.get(slug)
        return () if entry is None else tuple(entry.owned)

    def newest(self, slug: str) -> Version | None:
        """Give the newest version of a function, whether it is valid yet or not."""
        return next(reversed(self.versions(slug)), None)

    def slugs(self) -> tuple[str, ...]:
        """Give the functions that have versions, deleted functions too, sorted by name."""
        return tuple(sorted(self._entries))

    def ignored(self) -> Iterator[Version]:
        """Give the versions that are ignored: their slug belongs to another app and id."""
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
            starts = {
                version.compiled.valid_from
                for entry in self._entries.values()
                for version in entry.owned
            }
            # Two more that no event reaches, so that every received time lies between two starts.
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
        return View({name: tuple(named) for name, named in routes.items()}, functions)


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
        """Remove a version; without the first another app and id may become the owner."""
        self._routes.clear()
        kept = [version for version in (*self.owned, *self.ignored) if version.key != key]
        kept.sort(key=lambda version: version.compiled.version)
        self.owned = [version for version in kept if version.identity == kept[0].identity]
        self.ignored = [version for version in kept if version.identity != kept[0].identity]

    def valid_at(self, received: int) -> tuple[CompiledFunction, ...]:
        compiled = (version.compiled for version in self.owned)
        return tuple(function for function in compiled if function.valid_from <= received)

    def routes(self, valid: tuple[CompiledFunction, ...]) -> dict[str, FunctionRoute]:
        """Give the routes by event name, computed once per set of versions."""
        numbers = tuple(function.version for function in valid)
        if numbers not in self._routes:
            newest, matchers = valid[-1], cancel_matchers(valid)
            self._routes[numbers] = {
                name: _route(newest, name, matchers.get(name))
                for name in sorted(newest.trigger_names | matchers.keys())
            }
        return self._routes[numbers]


def _route(newest: CompiledFunction, name: str, cancels: CancelMatcher | None) -> FunctionRoute:
    if name not in newest.trigger_names:
        return FunctionRoute(newest.slug, None, cancels, only_starts=False)
    plain = cancels is None and newest.waits_at_home and not newest.has_condition(name)
    return FunctionRoute(newest.slug, newest, cancels, only_starts=plain)
