"""Turns records into command batches and dead letters: a router's work without Kafka.

A topic's records take one of four ways: events of an input, run updates, requests, replayed events.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct, field

from streams import logs
from streams.functions.registry import Registry
from streams.kafka.dead_letters import DeadLetter, Origin, dead_letter
from streams.router import inputs
from streams.router.batches import Batches, Encoded
from streams.router.drafts import Registration, Routed, rejected
from streams.router.record import Event, Record, Rejection
from streams.router.replayed import route_replayed
from streams.router.requests import route_request
from streams.router.route import EventRouter
from streams.router.updates import route_update
from streams.settings import Settings
from topology import limits, topics
from topology.keys import TIME_END_MS
from topology.records import Command

Way: TypeAlias = Callable[[Record, Registry], Routed | Registration]
STAGE: Final = "router"

log = logs.get(__name__)


class Counts(Struct):
    """How many records were routed, ignored and refused, by topic; and rejections, by kind."""

    routed: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)


class Output(Struct):
    """The output of a round: what to write, in this order, and what to count and log.

    Attributes:
        batches: Partition and bytes of each command batch.
        dead_letters: Records for the topic `dead-letters`.
        counts: What happened to the records.
        commands: Commands by type.
        errors: Functions whose condition had no answer, and why (S16).
    """

    batches: list[Encoded]
    dead_letters: list[DeadLetter]
    counts: Counts
    commands: Counter[type[Command]]
    errors: list[tuple[str, str]]


class Pipeline:
    """Routes records; `ways` has the way of every topic, `topic_ids` its id.

    Records of `timed_by_producers` are refused if their times lie too far ahead.
    """

    def __init__(
        self,
        ways: Mapping[str, Way],
        topic_ids: Mapping[str, bytes],
        message_limit: int = limits.MESSAGE_BYTES,
        timed_by_producers: Collection[str] = (),
    ) -> None:
        self._ways = ways
        self._timed_by_producers = timed_by_producers
        self._message_limit = message_limit
        self._batches = Batches(topic_ids)
        self._reset()

    def feed(self, records: Iterable[Record], functions: Registry, now: int = TIME_END_MS) -> None:
        """Route records at a time (ms); those of one source must be in their order."""
        register = self._batches.register
        latest = min(now + limits.FUTURE_MS, TIME_END_MS - 1)
        routed_topics: list[str] = []
        for record in records:
            if not 0 <= record.received <= latest and (untimely := self._untimely(record)):
                self._refuse(record, (untimely,))
                continue
            routed = self._routed(record, functions)
            if isinstance(routed, Registration):
                if register(record, routed):
                    routed_topics.append(record.topic)
                    continue
                routed = routed.routed()
            self._take(record, routed)
        self._counts.routed.update(routed_topics)

    def _routed(self, record: Record, functions: Registry) -> Routed | Registration:
        try:
            return self._ways[record.topic](record, functions)
        except Exception as error:  # one record must not stop a router (S38)
            log.exception("A record can't be routed", **_place(record))
            problem = f"{type(error).__name__}: {error}"
            return rejected(Rejection("undecidable", problem))

    def _take(self, record: Record, routed: Routed) -> None:
        rejections = routed.rejections
        if routed.drafts:
            refused = self._batches.add(record, routed)
            if refused is None:
                self._counts.routed[record.topic] += 1
            else:
                rejections = (refused,)
        elif not rejections:
            self._counts.ignored[record.topic] += 1
        if rejections:
            self._refuse(record, rejections)
        self._errors += routed.errors

    def _untimely(self, record: Record) -> Rejection | None:
        """Why the time of a record can't be used; None: a broker gave it, so it can."""
        if not 0 <= record.received < TIME_END_MS:
            message = f"{record.received} is no time: the record needs a timestamp"
            return Rejection("no_timestamp", message)
        if record.topic not in self._timed_by_producers:
            return None
        hours = limits.FUTURE_MS // limits.HOUR_MS
        return Rejection(
            "future_timestamp",
            f"its timestamp {record.received} lies over {hours} h ahead: the clock of its producer "
            "is wrong. Correct it, or set message.timestamp.type=LogAppendTime on the topic",
        )

    def refuse(self, record: Record, rejection: Rejection) -> None:
        """Send a record to the dead letters without routing it."""
        self._refuse(record, (rejection,))

    def take(self) -> Output:
        """The output since the last call."""
        batches, commands = self._batches.take()
        output = Output(batches, self._dead_letters, self._counts, commands, self._errors)
        self._reset()
        return output

    def _reset(self) -> None:
        self._counts = Counts()
        self._dead_letters: list[DeadLetter] = []
        self._errors: list[tuple[str, str]] = []

    def _refuse(self, record: Record, rejections: tuple[Rejection, ...]) -> None:
        """Make one dead letter, however many reasons there are."""
        self._counts.dead[record.topic] += 1
        self._counts.rejections[rejections[0].kind] += 1
        origin = Origin(
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            record.headers,
        )
        letter = dead_letter(
            origin,
            stage=STAGE,
            kind=rejections[0].kind,
            message="; ".join(rejection.message for rejection in rejections),
            limit=self._message_limit,
        )
        self._dead_letters.append(letter)


def _place(record: Record) -> dict[str, str | int]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def event_way(read: inputs.Reader, router: EventRouter) -> Way:
    """The way of an input's records."""
    route = router.route

    def way(record: Record, functions: Registry) -> Routed | Registration:
        event = read(record)
        if isinstance(event, Event):
            return route(record, event, functions)
        return Routed() if event is None else rejected(event)

    return way


def update_way(partitions: int, limit: int) -> Way:
    """The way of `run-updates`."""
    return lambda record, _functions: route_update(record, partitions, limit)


def request_way(partitions: int, limit: int) -> Way:
    """The way of `requests`."""
    return lambda record, _functions: route_request(record, partitions, limit)


def replayed_way(router: EventRouter, limit: int) -> Way:
    """The way of `replayed`."""
    return lambda record, functions: route_replayed(record, router, functions, limit)


def ways_of(
    settings: Settings,
    partitions: int,
    topic_ids: Mapping[str, bytes],
    event_limit: int = limits.EVENT_BYTES,
) -> dict[str, Way]:
    """The ways of all topics that routers read, by full name, to so many `partitions`.

    `topic_ids` has the id of each of these topics.
    """
    router = EventRouter(partitions, settings.cancelled_event_name, topic_ids)
    own = settings.topic(topics.CANCELLED)
    ways = {}
    for spec in settings.input_specs:
        is_own = spec.topic == own and not spec.mapped
        read = inputs.cancelled_reader(event_limit) if is_own else inputs.reader(spec, event_limit)
        ways[spec.topic] = event_way(read, router)
    return ways | {
        settings.topic(topics.RUN_UPDATES): update_way(partitions, event_limit),
        settings.topic(topics.REQUESTS): request_way(partitions, event_limit),
        settings.topic(topics.REPLAYED): replayed_way(router, event_limit + limits.ENVELOPE_BYTES),
    }
