"""The scenario of `countermand demo`: functions, events, and what must become of every run.

It runs step by step on a real Kafka, router and joiner; `EXPECTED` has the end of every run.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from streams.errors import CountermandError
from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.producers import Sender
from streams.kafka.tail import follow, read_all
from streams.local.stack import Stack
from streams.settings import Settings
from topology import topics
from topology.records import Json

Event = tuple[str, str, Json]

_DEADLINE_S: Final = 60.0
_IDLE_S: Final = 0.5
START_TIMEOUT: Final = "start_timeout"
EVENT: Final = "event"

FUNCTIONS: Final = """
functions:
  - id: generate-report
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
  - id: send-tips
    app: onboarding
    triggers: [{event: account/created}]
    cancel_on:
      - {event: account/closed, if: "event.data.userId == async.data.userId && async.data.hard"}
  - id: index-document
    app: search
    triggers: [{event: document/edited}]
    cancel_on: [{event: document/edited, match: data.documentId}]
  - id: sync-region
    app: nightly
    triggers: [{event: sync/scheduled}]
    cancel_on: [{event: maintenance/started, all_runs: true}]
  - id: send-digest
    app: mail
    triggers: [{event: digest/due}]
    timeouts: {start: 3s}
  - id: ship-order
    app: shop
    triggers: [{event: order/placed}]
    cancel_on: [{event: order/cancelled, match: data.orderId, early_cancel: 10m}]
"""


@dataclass(frozen=True)
class Expected:
    """What must become of a trigger event's run; `cause` is None where it isn't cancelled."""

    event_id: str
    cause: str | None
    why: str


EXPECTED: Final = (
    Expected("report-1", EVENT, "its report was cancelled"),
    Expected("report-2", None, "another report was cancelled"),
    Expected("report-3", None, "it had completed before its report was cancelled"),
    Expected("tips-ann", EVENT, "the account was closed for good"),
    Expected("tips-bob", None, "the account was closed, but not for good"),
    Expected("edit-1", EVENT, "a later edit of the document replaced it"),
    Expected("edit-2", None, "it is the latest edit"),
    Expected("sync-eu", EVENT, "maintenance cancels every run"),
    Expected("sync-us", EVENT, "maintenance cancels every run"),
    Expected("digest-1", START_TIMEOUT, "no worker started it within 3 s"),
    Expected("order-7", EVENT, "its cancel came before it did"),
    Expected("order-8", None, "another order was cancelled"),
)

_FIRST: Final[tuple[Event, ...]] = (
    ("report/requested", "report-1", {"reportId": "r1", "pages": 12}),
    ("report/requested", "report-2", {"reportId": "r2", "pages": 3}),
    ("report/requested", "report-3", {"reportId": "r3", "pages": 1}),
    ("account/created", "tips-ann", {"userId": "ann"}),
    ("account/created", "tips-bob", {"userId": "bob"}),
    ("document/edited", "edit-1", {"documentId": "d1", "text": "first"}),
    ("sync/scheduled", "sync-eu", {"region": "eu"}),
    ("sync/scheduled", "sync-us", {"region": "us"}),
    ("digest/due", "digest-1", {"userId": "ann"}),
)
_EARLY: Final[tuple[Event, ...]] = (("order/cancelled", "order-7-cancelled", {"orderId": 7}),)
_ORDERS: Final[tuple[Event, ...]] = (
    ("order/placed", "order-7", {"orderId": 7}),
    ("order/placed", "order-8", {"orderId": 8}),
)
_CANCELS: Final[tuple[Event, ...]] = (
    ("report/cancelled", "cancel-1", {"reportId": "r1"}),
    ("report/cancelled", "cancel-3", {"reportId": "r3"}),
    ("account/closed", "closed-ann", {"userId": "ann", "hard": True}),
    ("account/closed", "closed-bob", {"userId": "bob", "hard": False}),
    ("maintenance/started", "maintenance-1", {}),
)
_LATEST: Final[tuple[Event, ...]] = (
    ("document/edited", "edit-2", {"documentId": "d1", "text": "second"}),
)


@dataclass
class Outcome:
    """What became of every run: its last `runs` record and its cancelled events, by event id."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cancelled: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def as_expected(self, expected: Expected) -> bool:
        """Whether a run went as it must: exactly one cancelled event with the cause, or none."""
        events = self.cancelled.get(expected.event_id, [])
        causes = [event["data"]["cause"]["type"] for event in events]
        return causes == ([] if expected.cause is None else [expected.cause])

    def complete(self) -> bool:
        """Whether every run went as it must, and there are no others."""
        known = {expected.event_id for expected in EXPECTED}
        return self.cancelled.keys() <= known and all(map(self.as_expected, EXPECTED))


def play(stack: Stack, say: Callable[[str], None]) -> Outcome:
    """Play the scenario and report what became of every run.

    Raises:
        CountermandError: something didn't happen in time.
    """
    settings = stack.settings
    say("applying six functions")
    config = clients.librdkafka(settings, log_level=0)
    apply_functions(config, settings.topic(topics.FUNCTIONS), read_text(FUNCTIONS, "demo"))
    say("an order is cancelled before it is placed")
    _send(settings, topics.CANCELS, _EARLY)
    say("events start runs")
    _send(settings, topics.EVENTS, (*_FIRST, *_ORDERS))
    _await_status(stack, {event[1]: "scheduled" for event in _FIRST})
    say("one report completes")
    _complete(settings, "reports-generate-report", "report-3")
    _await_status(stack, {"report-3": "completed"})
    say("reports and accounts are cancelled, maintenance starts, the document is edited again")
    _send(settings, topics.CANCELS, _CANCELS)
    _send(settings, topics.EVENTS, _LATEST)
    wanted = Counter(expected.event_id for expected in EXPECTED if expected.cause)
    say(f"waiting for {wanted.total()} cancelled events")
    _await_cancelled(stack, wanted)
    return _outcome(settings)


def _send(settings: Settings, topic: topics.TopicSpec, events: Iterable[Event]) -> None:
    with Sender(settings) as sender:
        for name, event_id, data in events:
            value = orjson.dumps({"name": name, "id": event_id, "data": data})
            sender.send(settings.topic(topic), value)


def _complete(settings: Settings, function: str, event_id: str) -> None:
    """Report a run as completed, as a worker does that knows only the event."""
    update = {"function_id": function, "event_id": event_id, "status": "completed"}
    with Sender(settings) as sender:
        sender.send(settings.topic(topics.RUN_UPDATES), orjson.dumps({**update, "attempt": 1}))


def _await_status(stack: Stack, wanted: dict[str, str]) -> None:
    missing = dict(wanted)
    for record in _until(stack, topics.RUNS, lambda: not missing):
        event_id = record["event"].get("id")
        if missing.get(event_id) == record["status"]:
            del missing[event_id]


def _await_cancelled(stack: Stack, wanted: Counter[str]) -> None:
    missing = set(wanted)
    for record in _until(stack, topics.CANCELLED, lambda: not missing):
        missing.discard(record["data"]["event"].get("id"))


def _until(
    stack: Stack, topic: topics.TopicSpec, done: Callable[[], bool]
) -> Iterable[dict[str, Any]]:
    """A topic's records until `done`, which is asked when no record has come for a while.

    Raises:
        CountermandError: the wait took too long.
    """
    end = time.monotonic() + _DEADLINE_S
    name = stack.settings.topic(topic)
    while not done():
        stack.check()
        if time.monotonic() > end:
            raise CountermandError(f"What was to come on {name} didn't, in {_DEADLINE_S:.0f} s")
        for message in follow(stack.settings, name, from_beginning=True, idle_seconds=_IDLE_S):
            if message.value():
                yield orjson.loads(message.value() or b"")


def _outcome(settings: Settings) -> Outcome:
    outcome = Outcome()
    for message in read_all(settings, settings.topic(topics.RUNS)):
        record = orjson.loads(message.value() or b"{}")
        if record:
            outcome.runs[record["event"]["id"]] = record
    for message in read_all(settings, settings.topic(topics.CANCELLED)):
        event = orjson.loads(message.value() or b"{}")
        outcome.cancelled.setdefault(event["data"]["event"]["id"], []).append(event)
    return outcome
