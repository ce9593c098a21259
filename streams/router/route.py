"""Routes events: which runs an event starts, which it may cancel, and which partitions decide.

Pure: the same event and the same functions always give the same commands, so repeats do no harm.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from streams.errors import BudgetError, EvaluationError
from streams.functions.compiled import CompiledFunction
from streams.functions.registry import FunctionRoute, Registry
from streams.matching import Meter
from streams.router.drafts import Draft, Registration, Routed
from streams.router.record import Event, Record, Rejection, identity_of
from topology import keys, limits
from topology.records import EVALUATION_BUDGET, Cancel, Listen, Listener, Match, Register

_NO_REPLAY: Final = (b"", b"", 0)


class EventRouter:
    """Routes events to `partitions` partitions.

    `cancelled_name` is the name of the events that Countermand itself writes about cancelled runs,
    `topic_ids` has the ids of the topics that events lie in.
    """

    __slots__ = ("_cancelled_name", "_meter", "_partitions", "_topic_ids")

    def __init__(
        self, partitions: int, cancelled_name: str, topic_ids: Mapping[str, bytes]
    ) -> None:
        self._partitions = partitions
        self._cancelled_name = cancelled_name
        self._topic_ids = topic_ids
        self._meter = Meter()

    def route(self, record: Record, event: Event, functions: Registry) -> Routed | Registration:
        """The commands of one event, by partition."""
        ways = functions.routes(event.name, record.received)
        if not ways:
            return Routed()
        if len(ways) == 1 and ways[0].only_starts:
            registration = self._registration(ways[0].triggered, record, event)
            if registration is not None:
                return registration
        return self.route_any(record, event, ways)

    def route_any(self, record: Record, event: Event, ways: tuple[FunctionRoute, ...]) -> Routed:
        """The commands of an event that may do anything to the functions of these ways."""
        routed = Routed({}, (), (), self._identity(record, event))
        self._meter.allow(limits.EVENT_COST)
        cancels: list[Match] = []
        for way in ways:
            try:
                if matches := self._route(way, record, event, routed):
                    cancels += matches
            except BudgetError as error:
                _refuse(routed, way.slug, str(error))
        if cancels:
            self._cancel(event, cancels, routed)
        return routed

    def _registration(
        self, function: CompiledFunction | None, record: Record, event: Event
    ) -> Registration | None:
        """What an event is to the one function that it triggers; None: that takes a closer look."""
        if function is None or event.ts > record.received or event.name == self._cancelled_name:
            return None
        identity = self._identity(record, event)
        self._meter.allow(limits.EVENT_COST)
        try:
            run_id, event_key, listeners = self._run(function, record, event, identity)
        except BudgetError:
            return None
        home = keys.partition_of_run(run_id, self._partitions)
        return Registration(
            home, function.definition, run_id, event_key, listeners, event.body, identity
        )

    def _run(
        self,
        function: CompiledFunction,
        record: Record,
        event: Event,
        identity: bytes,
        replay: bytes = b"",
    ) -> tuple[bytes, bytes, tuple[Listener, ...]]:
        """A new run's id, its event key and its listeners.

        Raises:
            BudgetError: its match values are too large.
        """
        event_key = keys.event_key(function.slug, event.id)
        listeners = function.listeners(event.document, record.received, self._meter)
        indexed = bool(listeners) and function.rules[listeners[0].rule].scan_key is None
        home_key = listeners[0].key if indexed else event_key
        known = identity if function.knows_identity else b""
        run_id = keys.run_id(record.received, home_key, event_key, replay, known)
        return run_id, event_key, listeners

    def _identity(self, record: Record, event: Event) -> bytes:
        """What tells the event from all others, but not from its repeats."""
        if record.headers and (redriven := identity_of(record.headers)):
            return redriven
        if event.id_of_place:
            topic_id = self._topic_ids[record.topic]
            return keys.place_identity(topic_id, record.partition, record.offset)
        return keys.event_identity(event.source, event.name, event.id)

    def _route(
        self, way: FunctionRoute, record: Record, event: Event, routed: Routed
    ) -> tuple[Match, ...]:
        """What the event is to one function: start a run, or give what it may cancel."""
        matches = () if way.cancels is None else way.cancels.matches(event.document, self._meter)
        if event.id_of_place:  # it is never repeated
            matches = tuple(Match(match.key, match.hold_ms, match.everywhere) for match in matches)
        function = way.triggered
        if function is not None and self._starts(function, record, event, routed):
            # The home of the new run sends on what the event cancels of the same function: only
            # the home knows whether the event is a repeat (S10).
            self._register(function, record, event, matches, routed)
            return ()
        return matches

    def _starts(
        self, function: CompiledFunction, record: Record, event: Event, routed: Routed
    ) -> bool:
        """Whether the event starts a run of the function (S1)."""
        try:
            if not function.triggered_by(event.document, self._meter):
                return False
        except EvaluationError as error:
            routed.errors += ((function.slug, str(error)),)
            return False
        except BudgetError as error:
            routed.errors += ((function.slug, str(error)),)
            _refuse(routed, function.slug, f"the trigger's if: {error}")
            return False
        if event.name == self._cancelled_name and _of_run(event) == function.slug:
            return False  # otherwise a cancelled run could start runs without end
        if event.ts > record.received + function.function.pending_for_ms:
            message = (
                f"{function.slug}: ts lies over {function.function.pending_for_ms} ms (pending_for)"
                " after the receipt, so the run would be given up before it starts"
            )
            routed.rejections += (Rejection("ts_too_far", message),)
            return False
        return True

    def replay(
        self,
        function: CompiledFunction,
        record: Record,
        event: Event,
        replay: tuple[bytes, bytes, int],
        routed: Routed,
    ) -> None:
        """Start a run anew; `replay` has the old run's id, the request's id, the dispatch time.

        `routed` has the identity of the event.
        """
        self._meter.allow(limits.EVENT_COST)
        try:
            self._register(function, record, event, (), routed, replay)
        except BudgetError as error:
            _refuse(routed, function.slug, str(error))

    def _register(  # noqa: PLR0913, PLR0917  # a record of these would cost every run an object
        self,
        function: CompiledFunction,
        record: Record,
        event: Event,
        cancels: tuple[Match, ...],
        routed: Routed,
        replay: tuple[bytes, bytes, int] = _NO_REPLAY,
    ) -> None:
        """Register a run at its home, and let it listen at the partitions of its other keys."""
        received = record.received
        replay_of, replay_id, due = replay
        run_id, event_key, listeners = self._run(
            function, record, event, routed.identity, replay_id + replay_of
        )
        home = keys.partition_of_run(run_id, self._partitions)
        dispatch_at = due if due > event.ts else event.ts  # noqa: FURB136  # each run comes by here
        draft = routed.drafts.get(home)
        if draft is None:
            draft = routed.drafts[home] = Draft([], event.body, [])
        draft.event = event.body  # a draft that was made for a listener has none yet
        draft.commands.append(
            Register(
                len(draft.definitions),
                run_id,
                event_key,
                listeners,
                cancels,
                dispatch_at if dispatch_at > received else 0,
                replay_of,
                replay_id,
            )
        )
        draft.definitions.append(function.definition)
        if len(listeners) > 1:
            rules = function.rules
            remote = [listener for listener in listeners if rules[listener.rule].scan_key is None]
            self._listen(run_id, home, remote, routed)

    def _listen(
        self, run_id: bytes, home: int, listeners: Iterable[Listener], routed: Routed
    ) -> None:
        by_partition: dict[int, list[Listener]] = {}
        for listener in listeners:
            partition = keys.partition_of_key(listener.key, self._partitions)
            if partition != home:
                by_partition.setdefault(partition, []).append(listener)
        for partition, there in by_partition.items():
            routed.draft(partition).commands.append(Listen(run_id, tuple(there)))

    def _cancel(self, event: Event, matches: Iterable[Match], routed: Routed) -> None:
        by_partition: dict[int, list[Match]] = {}
        for match in matches:
            for partition in self._reached(match):
                by_partition.setdefault(partition, []).append(match)
        for partition, there in by_partition.items():
            draft = routed.draft(partition)
            draft.event = event.body
            draft.commands.append(Cancel(tuple(there)))

    def _reached(self, match: Match) -> Iterable[int]:
        if match.everywhere:
            return range(self._partitions)
        return (keys.partition_of_key(match.key, self._partitions),)


def _refuse(routed: Routed, slug: str, error: str) -> None:
    """Make the event a dead letter of a function, for which it takes too much (S37)."""
    routed.rejections += (Rejection(EVALUATION_BUDGET, f"{slug}: {error}"),)


def _of_run(event: Event) -> object:
    """The slug of the function of whose run a `function.cancelled` event tells."""
    return event.document["data"].get("function_id")
