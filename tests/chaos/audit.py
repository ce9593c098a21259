"""Counts what came out beside what the oracle says must come out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from streams.functions.definition import read_text
from tests.chaos.traffic import FUNCTIONS, RACING, WORK
from tests.support import oracle
from tests.support.deadline import eventually
from tests.support.oracle import Occurrence, RunName
from tests.support.watch import Watch
from topology.records import Function
from topology.topics import TopicPlace

_SHOWN: Final = 10
_FUNCTIONS: Final = read_text(FUNCTIONS)
_SLUGS: Final = frozenset(one.slug for one in _FUNCTIONS)
_NAMES: Final = frozenset(
    [trigger.event for one in _FUNCTIONS for trigger in one.triggers]
    + [rule.event for one in _FUNCTIONS for rule in one.cancel_on]
)
_QUIET_S: Final = 300


class Wanted(NamedTuple):
    """What the inputs ask for: every run, those that are cancelled, those that may be.

    `events` has where each event lies first, by its id; `records` counts its repeats, too.
    """

    runs: set[RunName]
    cancelled: set[RunName]
    racing: set[RunName]
    events: dict[str, Occurrence]
    records: int


class Findings(NamedTuple):
    """What the outputs have that they shouldn't, and the other way round; runs by name."""

    seen: int
    missing: list[Any]
    duplicate: list[Any]
    extra: list[Any]
    wrong_runs: list[Any]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to find."""
        return not any(self[1:])

    def lines(self) -> list[str]:
        """The first of each kind, to begin with."""
        kinds = self._asdict()
        del kinds["seen"]
        return [f"{kind}: {one}" for kind, found in kinds.items() for one in found[:_SHOWN]]


class Audit:
    """Of one deployment and of these functions alone; others may run beside them.

    It can be asked again after further traffic, and then reads on from where it was.
    """

    def __init__(self, watch: Watch, prefix: str) -> None:
        """`prefix` is that of the topics."""
        self._watch = watch
        self._prefix = prefix
        self._positions: dict[TopicPlace, int] = {}
        self._cells: dict[str, list[Occurrence]] = defaultdict(list)
        self._last = 0
        self._events: dict[str, Occurrence] = {}
        self._records = 0
        # When the last word of a worker on the run of an event was received.
        self._heard: dict[str, int] = {}
        self._runs: set[RunName] = set()
        self._cancelled: set[RunName] = set()
        self._ids: Counter[str] = Counter()
        self._names: Counter[RunName] = Counter()
        self._stories: dict[RunName, list[tuple[int, str]]] = defaultdict(list)

    def settle(self, look_after: Callable[[], None]) -> Wanted:
        """Wait until all that was sent has had its effect, the worker's answers included.

        `look_after` is called again and again meanwhile.
        """
        goal = self._wanted()
        last = self._last

        def quiet() -> bool:
            look_after()
            return self._watch.watermark() > last and self._watch.forwards_done()

        while True:
            eventually(quiet, _QUIET_S)
            before, last = last, self._last_update()
            if last == before:
                eventually(lambda: not self._watch.open_transactions("cancelled", "runs"), _QUIET_S)
                return goal

    def check(self, goal: Wanted) -> Findings:
        """Compare `cancelled` and `runs` with what is wanted."""
        for message in self._read_on("cancelled"):
            body = orjson.loads(message.value())
            if body["data"]["function_id"] in _SLUGS:
                self._ids[body["id"]] += 1
                self._names[body["data"]["function_id"], body["data"]["event"]["id"]] += 1
        for message in self._read_on("runs"):
            body = orjson.loads(message.value())
            if body["function_id"] in _SLUGS:
                name = body["function_id"], body["event"]["id"]
                self._stories[name].append((body["seq"], body["status"]))
        counts = (*self._ids.items(), *self._names.items())
        return Findings(
            seen=self._names.total(),
            missing=sorted(goal.cancelled - self._names.keys()),
            duplicate=[one for one, times in counts if times > 1],
            extra=sorted(self._names.keys() - goal.cancelled - goal.racing),
            wrong_runs=self._wrong_runs(goal),
        )

    def _wanted(self) -> Wanted:
        """Ask the oracle cell by cell, from what lies on the inputs."""
        changed: set[str] = set()
        for topic in ("events", "cancels"):
            for message in self._read_on(topic):
                event = orjson.loads(message.value())
                if event["name"] in _NAMES:
                    one = _occurrence(self._prefix + topic, message, event)
                    cell = one.event["id"].partition(".")[0]
                    self._cells[cell].append(one)
                    changed.add(cell)
                    self._last, self._records = max(self._last, one.received), self._records + 1
                    first = self._events.setdefault(one.event["id"], one)
                    self._events[one.event["id"]] = min(first, one, key=lambda one: one[:4])
        for cell in changed:
            occurrences = self._cells[cell]
            names = {one.event["name"] for one in occurrences}
            mine = [one for one in _FUNCTIONS if _concerned(one, names)]
            self._runs |= oracle.runs(mine, occurrences, oracle.compiled).keys()
            self._cancelled |= oracle.cancelled(mine, occurrences, oracle.compiled)
        racing = {run for run in self._runs if run[0] == RACING}
        self._last_update()
        cancelled = self._cancelled - racing
        return Wanted(self._runs, cancelled, racing, self._events, self._records)

    def _last_update(self) -> int:
        """When the last record was received, updates included: the worker may still answer."""
        for message in self._read_on("run-updates"):
            received = message.timestamp()[1]
            self._last = max(self._last, received)
            event_id = orjson.loads(message.value()).get("event_id")
            if event_id is not None:
                self._heard[event_id] = max(self._heard.get(event_id, 0), received)
        return self._last

    def _wrong_runs(self, goal: Wanted) -> list[Any]:
        """Runs whose records on `runs` don't tell one story, from seq 1 without gaps, to an end."""
        runs, stories = goal.runs, self._stories
        wrong: list[Any] = [(run, "not registered") for run in sorted(runs - stories.keys())]
        wrong += [(run, "nobody asked for it") for run in sorted(stories.keys() - runs)]
        for run in sorted(stories.keys() & runs):
            fault = _fault(
                run, stories[run], cancelled=run in self._names, ended=self._must_end(run)
            )
            if fault:
                wrong.append((run, stories[run], fault))
        return wrong

    def _must_end(self, run: RunName) -> bool:
        """Whether somebody ends a run: a cancel, or a word of its worker that came after its event.

        A producer whose brokers are slow may send both before the event.
        """
        event = self._events[run[1]]
        return run in self._cancelled or self._heard.get(run[1], 0) > event.received

    def _read_on(self, topic: str) -> Iterator[Any]:
        for partition in self._watch.partitions:
            place = self._prefix + topic, partition
            for message in self._watch.read(place, self._positions.get(place, 0)):
                self._positions[place] = message.offset() + 1
                yield message


def _fault(run: RunName, story: list[tuple[int, str]], *, cancelled: bool, ended: bool) -> str:
    """What is wrong with the records of a run; empty where nothing is.

    `cancelled`: it is on `cancelled`; `ended`: it must have ended, if it is one of the racing ones.
    """
    states = set(story)
    # A refused claim shows the newest record once more.
    if list(dict.fromkeys(story)) != sorted(states) or {seq for seq, _ in story} != set(
        range(1, len(states) + 1)
    ):
        return "not one story"
    end = story[-1][1]
    if (end == "cancelled") != cancelled:
        return "but cancelled" if cancelled else "not on cancelled"
    if run[0] == WORK and end != "completed":
        return "the worker was never heard"
    if run[0] == RACING and ended and end not in ("cancelled", "completed"):
        return "neither cancelled nor completed"
    return ""


def _occurrence(topic: str, message: Any, event: dict[str, Any]) -> Occurrence:
    prefix = event["id"].partition(".")[0] + "."
    data = {name: _local(prefix, value) for name, value in event["data"].items()}
    place = message.timestamp()[1], topic, message.partition(), message.offset()
    return Occurrence(*place, {**event, "data": data})


def _local(prefix: str, value: Any) -> Any:
    """The value without its cell's name, so that the oracle's answers serve all cells."""
    return value.removeprefix(prefix) if isinstance(value, str) else value


def _concerned(function: Function, names: set[str]) -> bool:
    return any(trigger.event in names for trigger in function.triggers)
