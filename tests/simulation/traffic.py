"""Events, run updates and requests at random: values from few, so that they often meet."""

from random import Random
from typing import Any, Final, NamedTuple

import orjson

from tests.support.logs import Cluster
from tests.support.oracle import Occurrence
from tests.support.partition import Clock
from topology.keys import run_id_text

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
      - event: order/purged
        if: "event.data.user == async.data.user || event.data.id == async.data.id"
      - event: order/purged
        if: "event.data.user == async.data.user && async.data.n < event.data.n"
        timeout: 5s
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
  - {id: timed, app: sim, triggers: [{event: order/placed}], timeouts: {start: 20s, finish: 1m},
     lease: 10s, cancel_on: [
       {event: order/cancelled, match: data.id}, {event: account/closed, match: data.user}]}
  - id: once
    app: sim
    triggers: [{event: order/placed}]
    cancel_on:
      - {event: order/cancelled, match: data.user, dedupe: 1m}
      - {event: account/closed, match: data.user, dedupe: 7d, early_cancel: 2s}
      - {event: price/changed, if: "async.data.n > event.data.n + 5", dedupe: 1d}
  - id: once-each
    app: sim
    triggers: [{event: order/placed}]
    cancel_on:
      - {event: order/cancelled, match: data.id}
      - {event: order/purged, match: data.user, dedupe: 1d}
      - {event: order/purged, match: data.id, dedupe: 1h}
      - {event: order/purged, if: "event.data.user == async.data.user && event.data.n == 11"}
  - {id: once-latest, app: sim, triggers: [{event: document/saved}],
     cancel_on: [{event: document/saved, match: data.user, dedupe: 1d}]}
  - {id: bulk, app: sim, triggers: [{event: order/placed}]}
  - {id: paused, app: sim, triggers: [{event: order/placed}]}
  - {id: again, app: sim, triggers: [{event: document/saved}],
     cancel_on: [
       {event: document/saved, match: data.user}, {event: account/closed, match: data.user}]}
"""
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
REQUESTS: Final = {
    "cancel_runs": 6,
    "stop_cancellation": 1,
    "pause": 1,
    "resume": 1,
    "replay": 1,
}
CONDITIONS: Final = (None, None, "event.data.n > 5", "event.data.user == 1 && event.data.n > 2")
_REPEATS: Final = 20
# An outbox may send an event again much later: no trigger, of which S3 has repeats for a day.
_LATE_REPEATS: Final = ("order/cancelled", "order/purged", "account/closed", "price/changed")


class Asked(NamedTuple):
    """A request that was produced; received when."""

    id: str
    type: str
    received: int
    body: dict[str, Any]


class Traffic:
    """Producers and workers."""

    def __init__(self, cluster: Cluster, clock: Clock, random: Random, partitions: int) -> None:
        """Write to `partitions` partitions of each input."""
        self.occurrences: list[Occurrence] = []
        self.requests: list[Asked] = []
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
            late = [one for one in self.occurrences if one.event["name"] in _LATE_REPEATS]
            if late and random.random() < 0.4:
                before = random.choice(late)
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

    def request(self) -> None:
        """Somebody asks for something, or repeats it, not knowing whether it was written."""
        random, now = self._random, self._clock.now
        if self.requests and random.random() < 0.15:
            before = random.choice(self.requests[-5:])
            if before.type != "resume":  # one that comes again ends the pause that there is then
                self._ask(before._replace(received=now))
                return
        kind = random.choices(list(REQUESTS), list(REQUESTS.values()))[0]
        if kind in {"pause", "resume"}:
            body: dict[str, Any] = {"function_id": "sim-paused"}
            body |= {"running": "never"} if kind == "pause" else {}
        elif kind == "replay":
            body = {"function_id": "sim-again", "from": now - random.randint(0, 60_000), "to": now}
            body |= {"statuses": ["cancelled"], "spread": random.choice((0, 5_000))}
        elif kind == "cancel_runs":
            body = {"app_id": "sim", "function_id": random.choice(("bulk", "bulk", "again"))}
            body |= {"started_after": now - random.randint(0, 20_000)}
            body |= {"started_before": now + random.randint(-3_000, 9_000)}
            body |= {"if": random.choice(CONDITIONS), "dry_run": random.random() < 0.2}
        else:
            known = [one.id for one in self.requests[-3:] if one.body.get("function_id") == "again"]
            if not known:
                return
            body = {"cancellation_id": random.choice(known)}
        request_id = run_id_text(now.to_bytes(6, "big") + random.randbytes(10))
        self._ask(Asked(request_id, kind, now, body))

    def resume(self) -> None:
        """End the pause, if there is one."""
        body = {"function_id": "sim-paused"}
        self._ask(Asked(run_id_text(bytes(16)), "resume", self._clock.now, body))

    def _ask(self, asked: Asked) -> None:
        self.requests.append(asked)
        record = {
            "request_id": asked.id,
            "type": asked.type,
            "requested_by": "somebody",
            "body": asked.body,
        }
        self._cluster.log("requests", 0).append(orjson.dumps(record), received=asked.received)

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
