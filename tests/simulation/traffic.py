"""Events and run updates at random: values from few, so that they often meet."""

from random import Random
from typing import Any, Final

import orjson

from tests.support.logs import Cluster
from tests.support.oracle import Occurrence
from tests.support.partition import Clock

FUNCTIONS: Final = """
functions:
  - {id: match, app: sim, triggers: [{event: order/placed}],
     cancel_on: [{event: order/cancelled, match: data.id, timeout: 3s}]}
  - id: many
    app: sim
    triggers: [{event: order/placed}]
    cancel_on:
      - {event: order/cancelled, match: data.id}
      - {event: account/closed, match: data.user, early_cancel: 2s}
      - {event: order/purged, if: "event.data.user == async.data.user || event.data.id == async.data.id"}
      - {event: order/purged, if: "event.data.user == async.data.user && async.data.n < event.data.n", timeout: 5s}
  - {id: latest, app: sim, triggers: [{event: document/saved}],
     cancel_on: [{event: document/saved, match: data.user}]}
  - id: latest-twice
    app: sim
    triggers: [{event: document/saved}, {event: order/placed, if: "event.data.n > 5"}]
    cancel_on:
      - {event: document/saved, match: data.id}
      - {event: document/saved, match: data.user, timeout: 10s}
      - {event: document/saved, if: "async.data.n > event.data.n + 8"}
  - {id: scan, app: sim, triggers: [{event: order/placed}],
     cancel_on: [{event: price/changed, if: "async.data.n > event.data.n + 5"}]}
  - {id: all, app: sim, triggers: [{event: document/saved}],
     cancel_on: [{event: maintenance/started, all_runs: true, timeout: 20s}]}
  - {id: timed, app: sim, triggers: [{event: order/placed}], timeouts: {start: 20s, finish: 1m}, lease: 10s,
     cancel_on: [{event: order/cancelled, match: data.id}, {event: account/closed, match: data.user}]}
"""  # noqa: E501
NAMES: Final = {
    "order/placed": 8,
    "document/saved": 4,
    "order/cancelled": 4,
    "account/closed": 1,
    "order/purged": 1,
    "price/changed": 0.2,
    "maintenance/started": 0.1,
    "nobody/listens": 0.3,
}
UPDATES: Final = ("running", "running", "heartbeat", "sleeping", "completed", "failed", "stopped")
_REPEATS: Final = 20


class Traffic:
    """Producers and workers."""

    def __init__(self, cluster: Cluster, clock: Clock, random: Random, partitions: int) -> None:
        """Write to `partitions` partitions of each input."""
        self.occurrences: list[Occurrence] = []
        self._cluster = cluster
        self._clock = clock
        self._random = random
        self._partitions = partitions
        self._number = 0

    def produce(self) -> None:
        """Produce an event, or repeat one as a producer does that missed the acknowledgement."""
        random = self._random
        repeatable = self.occurrences[-_REPEATS:]
        if repeatable and random.random() < 0.15:
            before = random.choice((random.choice(repeatable), repeatable[-1]))
            # Elsewhere S3 would depend on which occurrence is read first.
            self._append(before.topic, before.partition, dict(before.event))
            return
        self._number += 1
        name = random.choices(list(NAMES), list(NAMES.values()))[0]
        data = {"id": self._value(12), "user": self._value(8), "n": random.randint(0, 10)}
        if random.random() < 0.1:
            del data[random.choice(list(data))]
        event: dict[str, Any] = {
            "name": name,
            "data": data,
            "id": f"e{self._number}",
            "ts": self._clock.now,
        }
        if random.random() < 0.05:
            event["ts"] += random.randint(1, 30_000)
        topic = "events" if random.random() < 0.5 else "cancels"
        self._append(topic, random.randrange(self._partitions), event)

    def update(self) -> None:
        """A worker says something about a run, or about an event that perhaps has none yet."""
        random = self._random
        status = random.choice(UPDATES)
        body: dict[str, Any] = {"status": status, "worker": random.choice(("w1", "w2"))}
        if status == "sleeping":
            body["until"] = self._clock.now + random.randint(0, 20_000)
        run = self._some_run()
        if random.random() < 0.2 and self.occurrences and status != "heartbeat":
            event = random.choice(self.occurrences[-_REPEATS:]).event
            body |= {"function_id": "sim-timed", "event_id": event["id"]}
        elif run is None:
            return
        elif status == "heartbeat":
            body["runs"] = [{name: run[name] for name in ("run_id", "attempt")}]
        else:
            body |= {name: run[name] for name in ("run_id", "attempt")}
        log = self._cluster.log("run-updates", random.randrange(self._partitions))
        log.append(orjson.dumps(body), received=self._clock.now)

    def _some_run(self) -> dict[str, Any] | None:
        """A run that a worker may have; those of most functions are left to the cancels."""
        records = self._cluster.records("runs")
        if not records:
            return None
        run = orjson.loads(self._random.choice(records).value or b"{}")
        return run if run.get("function_id") == "sim-timed" else None

    def _append(self, topic: str, partition: int, event: dict[str, Any]) -> None:
        log = self._cluster.log(topic, partition)
        offset = log.append(orjson.dumps(event), received=self._clock.now)
        self.occurrences.append(Occurrence(self._clock.now, topic, partition, offset, event))

    def _value(self, most: int) -> object:
        """A number now and then as a double, or as text, which is another value (S15)."""
        number = self._random.randint(1, most)
        return self._random.choice((number, number, float(number), str(number)))
