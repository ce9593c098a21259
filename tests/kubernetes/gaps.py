"""How long partitions stood still, as those see it who send events and read `runs`."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

from streams.clock import now_ms
from streams.kafka import clients
from streams.kafka.consumers import fetch
from streams.settings import Settings
from tests.support.oracle import Occurrence
from topology import topics
from topology.topics import TopicPlace

_MOST: Final = 500
_PATIENCE_S: Final = 0.1
_EARLY: Final = "early/"  # of the load's events
_NO_EVENT: Final = {"id": ""}  # a user, or a timeout


class Seen(NamedTuple):
    """A record that answers an event: where it lies, when a consumer had it, ms since 1970."""

    event_id: str
    home: TopicPlace
    at_ms: int


class Answer(NamedTuple):
    """An event and the first record that it led to: of a run that it starts, or cancels.

    Attributes:
        source: The partition of an input that has the event.
        home: The partition of `runs` or `cancelled` that has the record.
        asked_ms: When the event was received, ms since 1970.
        answered_ms: When a consumer of committed records had the record, ms since 1970.
    """

    source: TopicPlace
    home: TopicPlace
    asked_ms: int
    answered_ms: int


class Gap(NamedTuple):
    """A gap, and whose it is."""

    seconds: float
    place: TopicPlace


def longest(answers: Iterable[Answer]) -> Gap:
    """The longest gap of any partition.

    A gap of a partition is a time in which at least one event waited and none was answered. It ends
    with an answer; it begins with the answer before that, or with the receipt of the oldest of the
    events that are still to be answered, whichever is later. Each answer counts for two partitions:
    that of the input with its event, where the absence of a router is seen, and that of the output
    with its record, where the absence of a joiner is seen.
    """
    by_place: dict[TopicPlace, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_place[answer.source].append(answer)
        by_place[answer.home].append(answer)
    gaps = [Gap(_longest_ms(found) / 1_000, place) for place, found in by_place.items()]
    return max(gaps, default=Gap(0.0, ("", 0)))


def _longest_ms(answers: Iterable[Answer]) -> int:
    """That of one partition."""
    backwards = sorted(answers, key=lambda one: one.answered_ms, reverse=True)
    oldest = accumulate((one.asked_ms for one in backwards), min)
    before = [*(one.answered_ms for one in backwards[1:]), 0]
    return max(
        one.answered_ms - max(asked, last)
        for one, asked, last in zip(backwards, oldest, before, strict=True)
    )


class Observer:
    """Reads `runs` and `cancelled` as they are committed, in a thread, and notes first answers.

    An event may start several runs and each is an answer; of those that it cancels, the first is.
    Cancels that come before their run are left out, as they have no answer before it comes.
    """

    def __init__(self, settings: Settings) -> None:
        """Start at the beginning."""
        self._known: set[tuple[str, str]] = set()
        self._news: list[Seen] = []
        self._stop = threading.Event()
        config = clients.librdkafka(
            settings,
            group_id="observer",
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_wait_max_ms=10,
            log_level=0,
        )
        self._consumer = Consumer(config)
        self._cancelled = settings.topic(topics.CANCELLED)
        names = (self._cancelled, settings.topic(topics.RUNS))
        places = [(name, one) for name in names for one in range(settings.partitions)]
        self._consumer.assign([TopicPartition(*place, 0) for place in places])
        self._thread = threading.Thread(target=self._run, name="observer")
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def answers(self, events: Mapping[str, Occurrence]) -> list[Answer]:
        """What was first seen since this was last asked, as far as it answers these events."""
        news, self._news = self._news, []
        answered = [(events[seen.event_id], seen) for seen in news if seen.event_id in events]
        return [
            Answer((event.topic, event.partition), seen.home, event.received, seen.at_ms)
            for event, seen in answered
            if not event.event["name"].startswith(_EARLY)
        ]

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in fetch(self._consumer, _MOST, _PATIENCE_S):
                value = message.value()
                if message.error() is None and value is not None:
                    self._note((message.topic(), message.partition()), orjson.loads(value))

    def _note(self, place: TopicPlace, record: Mapping[str, Any]) -> None:
        if place[0] == self._cancelled:
            key = "", (record["data"]["cause"].get("event") or _NO_EVENT)["id"]
        else:
            key = record["function_id"], record["event"]["id"]
        if key not in self._known:
            self._known.add(key)
            self._news.append(Seen(key[1], place, now_ms()))
