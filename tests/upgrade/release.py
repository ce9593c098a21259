"""A release at work on the scenario's topics: what it is fed, and what it has made of that."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from streams.settings import Settings, load
from tests.support.deadline import eventually
from tests.support.router import produce
from tests.support.services import JOINER, ROUTER, Service
from tests.support.watch import Watch
from tests.upgrade.scenario import APP, PARTITIONS

_LOOK_S: Final = 0.5
# What has just been left has timers that are two minutes away.
_WITHIN_S: Final = 200
_COUNTS: Final = ("scanned", "matched", "cancelled", "failed")
# Topic, partition and value.
Fed = tuple[str, int, bytes]


class Release:
    """A joiner and a router of a work tree (this one if none is given), with a folder for both.

    If it is `static`, it takes the places in their groups of those that were there before.
    """

    def __init__(self, bootstrap: str, folder: Path, tree: Path | None, *, static: bool) -> None:
        self.settings: Settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{APP}.",
            application_id=APP,
            partitions=PARTITIONS,
        )
        self.watch = Watch(self.settings)
        self.joiner, self.router = (
            Service(role, self.settings, folder, static=static, tree=tree)
            for role in (JOINER, ROUTER)
        )

    def close(self) -> None:
        """End what still runs; the last words of each are printed, for a report of a failure."""
        for one in (self.router, self.joiner):
            one.kill()
            print(one.name, *one.last_words(30), sep="\n")
        self.watch.close()

    def feed(self, *records: Fed) -> None:
        """Write records to their topics."""
        produce(self.settings, records)

    def runs(self) -> dict[str, str]:
        """The story of each run, by its event's id; a number that is missing or twice is shown."""
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for one in self._values("runs"):
            state = f"{one['status']}{one['attempt']}{'+' if one['dispatch'] else ''}"
            found[one["event"]["id"]].append((one["seq"], state))
        return {id_: _story(states) for id_, states in found.items()}

    def run_id(self, id_: str) -> str:
        """The id of the run of an event."""
        [found] = {one["run_id"] for one in self._values("runs") if one["event"]["id"] == id_}
        return str(found)

    def await_runs(
        self, wanted: Mapping[str, str], instead: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Wait until these runs are so far, or as `instead` has them; others are shown."""

        def missing() -> dict[str, tuple[str, str | None]]:
            found = self.runs()
            return {
                id_: (story, found.get(id_))
                for id_, story in wanted.items()
                if found.get(id_) not in {story, instead.get(id_, story)}
            }

        with suppress(AssertionError):
            eventually(lambda: not missing(), _WITHIN_S, _LOOK_S)
        left = missing()
        assert left == {}, left

    def cancelled(self) -> Counter[tuple[str, str]]:
        """How many `function.cancelled` there are, by their runs' event ids and causes."""
        return Counter(
            (one["data"]["event"]["id"], _cause(one["data"]["cause"]))
            for one in self._values("cancelled")
        )

    def progress(self, request: str) -> tuple[set[str], Counter[str]]:
        """The states of a request in the partitions, and its counts of all of them."""
        newest = {
            one["partition"]: one
            for one in self._values("request-progress")
            if one["request_id"] == request and "state" in one
        }
        counts: Counter[str] = Counter()
        for one in newest.values():
            counts.update(
                {name: one[name] for name in ("scanned", "matched", "cancelled", "failed")}
            )
        return {one["state"] for one in newest.values()}, counts

    def _values(self, topic: str) -> list[Any]:
        """The JSON values of a topic as committed; tombstones of what was removed are left out."""
        found = self.watch.read_topic(topic)
        return [orjson.loads(one.value()) for one in found if one.value() is not None]


def event(name: str, id_: str, partition: int = 0, ts: int | None = None, **data: Any) -> Fed:
    """An event for the topic `events`."""
    return "events", partition, _event(name, id_, ts, data)


def cancel(name: str, id_: str, partition: int = 0, **data: Any) -> Fed:
    """An event for the topic `cancels`."""
    return "cancels", partition, _event(name, id_, None, data)


def order(name: str, partition: int = 0, ts: int | None = None) -> Fed:
    """An order that is placed, whose event has its name as the id."""
    return event("placed", name, partition, ts, order=name)


def drop(name: str, partition: int = 0) -> Fed:
    """What cancels the run of an order."""
    return cancel("dropped", f"drop-{name}", partition, order=name)


def update(status: str, partition: int = 0, **fields: Any) -> Fed:
    """A worker's word on a run."""
    return "run-updates", partition, orjson.dumps({"status": status, "worker": "w1", **fields})


def request(kind: str, id_: str, **body: Any) -> Fed:
    """A request of somebody."""
    fields = {"request_id": id_, "type": kind, "requested_by": "ann", "body": body}
    return "requests", 0, orjson.dumps(fields)


def _event(name: str, id_: str, ts: int | None, data: dict[str, Any]) -> bytes:
    body = {"name": name, "id": id_, "data": data}
    return orjson.dumps(body | ({"ts": ts} if ts is not None else {}))


def _story(states: list[tuple[int, str]]) -> str:
    numbers = [number for number, _ in states]
    told = " ".join(state for _, state in states)
    return told if numbers == list(range(1, len(states) + 1)) else f"{numbers} {told}"


def _cause(cause: dict[str, Any]) -> str:
    return f"event {cause['event']['id']}" if cause["event"] else str(cause["type"])
