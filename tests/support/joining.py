"""Joiners as processes on the shared broker, fed by a test, and what they make of it."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka.admin import AdminClient

from streams.kafka.admin import admin_client
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.deadline import eventually
from tests.support.feed import Feed
from tests.support.services import JOINER, Service
from tests.support.watch import Watch
from topology import keys

PATIENCE_S = 90
FUNCTIONS = """
functions:
  - {app: trap, id: one, triggers: [{event: start}], cancel_on: [{event: stop, match: data.k}]}
  - {app: trap, id: two, triggers: [{event: pair}], cancel_on: [
      {event: drop-a, match: data.a}, {event: drop-b, match: data.b}]}
"""


class Joining:
    """Topics of a test alone, two partitions, and the joiners that it starts."""

    def __init__(self, bootstrap: str, name: str, folder: Path) -> None:
        self.settings: Settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
        )
        create_topics(self.settings)
        self.feed = Feed(self.settings, FUNCTIONS)
        self.watch = Watch(self.settings)
        self.admin: AdminClient = admin_client(self.settings)
        self._folder = folder
        self._services: list[Service] = []

    def joiner(self, number: int = 1, *, static: bool = True, **extra: str) -> Service:
        """A joiner that isn't started yet; a static member gets its partitions back at once."""
        one = Service(
            JOINER, self.settings, self._folder, number=number, static=static, extra=extra
        )
        self._services.append(one)
        return one

    def close(self) -> None:
        """End what still runs; the last words of each are printed, for a report of a failure."""
        for one in self._services:
            one.kill()
            print(one.name, *one.last_words(30), sep="\n")
        self.watch.close()

    def await_ready(self, *joiners: Service) -> None:
        """Wait until these own something, and all of it is at work."""
        eventually(lambda: all(one.is_ready for one in joiners), PATIENCE_S)

    def await_applied(
        self, partitions: Iterable[int] = (0, 1), outputs: Iterable[str] = ("cancelled", "runs")
    ) -> None:
        """Wait until everything that lies on `commands` and `forwards` now is applied."""
        ends = self.watch.ends(self.watch.commands(list(partitions)))
        eventually(
            lambda: not self.watch.open_commands(ends) and self.watch.forwards_done(), PATIENCE_S
        )
        # The changelog's marker may come before those of the outputs.
        eventually(lambda: not self.watch.open_transactions(*outputs), PATIENCE_S)

    def cancelled(self) -> Counter[str]:
        """How many `function.cancelled` there are, by the id of the run's event."""
        return Counter(one["data"]["event"]["id"] for one in self.values("cancelled"))

    def registered(self) -> Counter[str]:
        """How many runs were announced as new, by their event's id."""
        return Counter(one["event"]["id"] for one in self.values("runs") if one["seq"] == 1)

    def values(self, topic: str) -> list[Any]:
        """The JSON values of a topic, as committed."""
        return [orjson.loads(one.value()) for one in self.watch.read_topic(topic)]

    def home(self, id_: str) -> int:
        """The partition that decides the run of an event."""
        found = {one["run_id"] for one in self.values("runs") if one["event"]["id"] == id_}
        [run_id] = found
        return keys.partition_of_run(keys.run_id_bytes(run_id), self.settings.partitions)

    def check(self, started: Iterable[str], stopped: Iterable[str]) -> None:
        """All these runs were registered, these of them cancelled; each once, and no others."""
        assert _differences(self.registered(), Counter(started)) == {}
        assert _differences(self.cancelled(), Counter(stopped)) == {}


def _differences(found: Counter[str], wanted: Counter[str]) -> dict[str, tuple[int, int]]:
    """What came as often as it shouldn't: how often it came, and should have come."""
    names = found.keys() | wanted.keys()
    return {name: (found[name], wanted[name]) for name in names if found[name] != wanted[name]}


def ids(stem: str, number: int) -> list[str]:
    """Names of so many runs."""
    return [f"{stem}{one}" for one in range(number)]
