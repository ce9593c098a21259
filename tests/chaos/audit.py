"""Counts what came out beside what the oracle says must come out."""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import orjson

from streams.functions.definition import read_text
from tests.chaos.traffic import FUNCTIONS, RACING, WORK
from tests.support import oracle
from tests.support.oracle import Occurrence, RunName
from tests.support.watch import Watch
from topology.records import Function

_SHOWN = 10


class Wanted(NamedTuple):
    """What the inputs ask for: every run, those that are cancelled, those that may be."""

    runs: set[RunName]
    cancelled: set[RunName]
    racing: set[RunName]
    last_received: int
    events: int


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


def wanted(watch: Watch, prefix: str) -> Wanted:
    """Ask the oracle cell by cell, from what lies on the inputs."""
    by_cell: dict[str, list[Occurrence]] = defaultdict(list)
    last, events = 0, 0
    for topic in ("events", "cancels"):
        for message in watch.read_topic(topic):
            one = _occurrence(prefix + topic, message)
            by_cell[one.event["id"].partition(".")[0]].append(one)
            last, events = max(last, one.received), events + 1
    last = last_update(watch, last)
    functions = read_text(FUNCTIONS)
    runs: set[RunName] = set()
    cancelled: set[RunName] = set()
    for cell in by_cell.values():
        names = {one.event["name"] for one in cell}
        mine = [one for one in functions if _concerned(one, names)]
        runs |= oracle.runs(mine, cell, oracle.compiled).keys()
        cancelled |= oracle.cancelled(mine, cell, oracle.compiled)
    racing = {run for run in runs if run[0] == RACING}
    return Wanted(runs, cancelled - racing, racing, last, events)


def last_update(watch: Watch, last: int) -> int:
    """When the last update was received, if later than `last`: the worker may still answer."""
    received: list[int] = [one.timestamp()[1] for one in watch.read_topic("run-updates")]
    return max([last, *received])


def check(watch: Watch, goal: Wanted) -> Findings:
    """Compare `cancelled` and `runs` with what is wanted."""
    ids: Counter[str] = Counter()
    names: Counter[RunName] = Counter()
    for message in watch.read_topic("cancelled"):
        body = orjson.loads(message.value())
        ids[body["id"]] += 1
        names[body["data"]["function_id"], body["data"]["event"]["id"]] += 1
    twice = [one for one, times in (*ids.items(), *names.items()) if times > 1]
    return Findings(
        seen=names.total(),
        missing=sorted(goal.cancelled - names.keys()),
        duplicate=twice,
        extra=sorted(names.keys() - goal.cancelled - goal.racing),
        wrong_runs=_wrong_runs(watch, goal, names),
    )


def _wrong_runs(watch: Watch, goal: Wanted, cancelled: Counter[RunName]) -> list[Any]:
    """Runs whose records on `runs` don't tell one story, from seq 1 without a gap, to its end."""
    stories: dict[RunName, list[tuple[int, str]]] = defaultdict(list)
    for message in watch.read_topic("runs"):
        body = orjson.loads(message.value())
        stories[body["function_id"], body["event"]["id"]].append((body["seq"], body["status"]))
    wrong: list[Any] = [(run, "not registered") for run in sorted(goal.runs - stories.keys())]
    wrong += [(run, "nobody asked for it") for run in sorted(stories.keys() - goal.runs)]
    for run in sorted(stories.keys() & goal.runs):
        story = stories[run]
        # A refused claim shows the newest record once more.
        if list(dict.fromkeys(story)) != sorted(set(story)) or {seq for seq, _ in story} != set(
            range(1, len(set(story)) + 1)
        ):
            wrong.append((run, story))
        elif (story[-1][1] == "cancelled") != (run in cancelled):
            wrong.append((run, story, "but cancelled" if run in cancelled else "not on cancelled"))
        elif run[0] == WORK and story[-1][1] != "completed":
            wrong.append((run, story, "the worker was never heard"))
        elif run in goal.racing and story[-1][1] not in ("cancelled", "completed"):
            wrong.append((run, story, "neither cancelled nor completed"))
    return wrong


def _occurrence(topic: str, message: Any) -> Occurrence:
    event = orjson.loads(message.value())
    prefix = event["id"].partition(".")[0] + "."
    data = {name: _local(prefix, value) for name, value in event["data"].items()}
    place = message.timestamp()[1], topic, message.partition(), message.offset()
    return Occurrence(*place, {**event, "data": data})


def _local(prefix: str, value: Any) -> Any:
    """The value without its cell's name, so that the oracle's answers serve all cells."""
    return value.removeprefix(prefix) if isinstance(value, str) else value


def _concerned(function: Function, names: set[str]) -> bool:
    return any(trigger.event in names for trigger in function.triggers)
