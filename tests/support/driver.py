"""The whole of Countermand without a broker: records in, records and rows out, the clock by hand.

Real code routes, decides, commits and restores; what is simulated are the topics and the clock.
Each record is received one ms after the one before, unless it says when, and is routed and decided
at once, unless it is produced within `unread`. The watermark moves by `advance` alone.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from streams.durations import parse_duration
from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.joiner.decide.view import Bounds
from streams.joiner.store import Memory
from streams.router.batches import Progress, progress_batch
from streams.router.pipeline import Pipeline, ways_of
from streams.router.record import Record
from streams.settings import load
from tests.support.logs import Cluster, topic_id
from tests.support.partition import Clock, Setting, StepwisePartition, in_memory
from topology import codec, keys

Json = Any
START_MS = 1_700_000_000_000
_ERROR = "countermand.error."
_MEMORY_MIB = 16


class Sent(NamedTuple):
    """An event that was produced, and where it lies."""

    id: str
    topic: str
    partition: int
    offset: int
    received: int


class Driver:
    """Producers, routers and joiners of some functions, given as YAML."""

    def __init__(  # noqa: PLR0913  # what tests vary
        self,
        functions: str | None = None,
        *,
        partitions: int = 3,
        input_partitions: int = 2,
        inputs: Iterable[Json] = (),
        disk: Path | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008  # it never changes
    ) -> None:
        """Apply the functions; with `disk` the rows lie in real stores there."""
        self.settings = load(topic_prefix="", partitions=partitions, inputs=tuple(inputs))
        self.clock = Clock(START_MS)
        self.cluster = Cluster(lambda: self.clock.now)
        self.registry = Registry()
        self.router_counts: Counter[tuple[str, str]] = Counter()
        self.trigger_errors: list[tuple[str, str]] = []
        self._ids = {topic: topic_id(topic) for topic in self.settings.routed_topics}
        self._pipeline = Pipeline(
            ways_of(self.settings, partitions, self._ids),
            self._ids,
            timed_by_producers=[spec.topic for spec in self.settings.input_specs],
        )
        self._places = [
            (topic, partition)
            for topic in self.settings.routed_topics
            for partition in range(partitions if topic == "replayed" else input_partitions)
        ]
        self._read: dict[tuple[str, int], int] = dict.fromkeys(self._places, 0)
        self._reads_at_once = True
        self._events = 0
        self.requested: list[str] = []
        self._down: set[int] = set()
        self._late: dict[int, list[bytes]] = {}
        self.topics = set(self.settings.routed_topics)
        setting = Setting(
            self.cluster,
            self.clock,
            partitions,
            self._sources,
            None if disk is None else Memory(_MEMORY_MIB),
            bounds=bounds,
            topic_ids=lambda: frozenset(self._ids[topic] for topic in self.topics),
        )
        self.partitions: list[StepwisePartition] = [
            in_memory(setting, number, None if disk is None else disk / str(number))
            for number in range(partitions)
        ]
        if functions is not None:
            self.apply(functions)

    # Given

    def apply(self, functions: str) -> None:
        """Apply functions and wait until they are valid."""
        for function in read_text(functions):
            key = f"{function.slug}/{self.registry.position:026}".encode()
            body = codec.encode_function(function)
            self.registry.apply(self.registry.position, self.now, key, body)
        self.clock.now += 2_000

    # When

    @property
    def now(self) -> int:
        """The time, in ms."""
        return self.clock.now

    def event(  # noqa: PLR0913  # the parts of an event
        self,
        name: str,
        /,
        *,
        topic: str = "events",
        partition: int = 0,
        at: int | None = None,
        id: str | None = None,  # noqa: A002  # as events name it
        ts: int | None = None,
        **data: Json,
    ) -> Sent:
        """Produce an event, received `at`, or one ms after the record before."""
        self._events += 1
        event = {"name": name, "data": data, "id": id or f"e{self._events}", "ts": ts}
        body = {field: value for field, value in event.items() if value is not None}
        record = self.record(orjson.dumps(body), topic=topic, partition=partition, at=at)
        return Sent(str(event["id"]), topic, partition, record.offset, record.received)

    def cancel(self, name: str, /, **data: Json) -> Sent:
        """Produce an event to the topic `cancels`."""
        return self.event(name, **{"topic": "cancels", **data})

    def record(  # noqa: PLR0913  # the parts of a record
        self,
        value: bytes | None,
        *,
        topic: str = "events",
        partition: int = 0,
        at: int | None = None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> Record:
        """Produce any record."""
        received = self.now + 1 if at is None else at
        self.clock.now = max(self.now, received)
        log = self.cluster.log(topic, partition)
        offset = log.append(value, key=key, received=received, headers=headers)
        if self._reads_at_once:
            self.read()
        return _record(topic, partition, log.records[offset])

    @contextmanager
    def unread(self) -> Iterator[None]:
        """What is produced in here waits in its topic until it is `read`."""
        self._reads_at_once = False
        yield
        self._reads_at_once = True

    def read(self, topic: str | None = None, partition: int = 0, most: int | None = None) -> None:
        """Route the next records of a topic's partition, or of all; then decide on everything."""
        for place in self._places if topic is None else [(topic, partition)]:
            log = self.cluster.log(*place)
            records = log.read(self._read[place], most)
            if records:
                rest = log.read(records[-1].offset + 1, 1)
                self._read[place] = records[-1].offset + 1 if rest else log.end
                self._route(_record(*place, record) for record in records)
        self.work()

    def reread(self, topic: str, partition: int = 0, offset: int = 0) -> None:
        """Route again what was routed already from an offset on, as a router does that restarts."""
        records = self.cluster.log(topic, partition).read(offset)
        done = self._read[topic, partition]
        self._route(_record(topic, partition, one) for one in records if one.offset < done)
        self.work()

    def wait(self, duration: str) -> None:
        """Let time pass that no router reports: the watermark stays."""
        self.clock.now += parse_duration(duration)

    def advance(self, duration: str | None = None, *, to: int | None = None) -> None:
        """Let time pass, and routers report that all received before is applied."""
        if duration is not None:
            self.wait(duration)
        self.clock.now = self.now if to is None else to
        self.complete()

    def complete(self) -> None:
        """Routers report, truthfully, how far each source is complete; timers fire."""
        batch = progress_batch([self._progress(place) for place in self._places], self._ids)
        self.send_batch(batch)

    def send_batch(self, batch: bytes, partition: int | None = None) -> None:
        """Send a command batch to one partition, or to all."""
        for number in range(len(self.partitions)) if partition is None else (partition,):
            self.cluster.log("commands", number).append(batch)
        self.work()

    def update(
        self, status: str, run: Json = None, /, *, partition: int = 0, **fields: Json
    ) -> None:
        """Produce a run update on a run's current attempt, or on what the fields say."""
        if run is not None:
            current = run if "run_id" in run else self.run(run)
            fields = {"run_id": current["run_id"], "attempt": current["attempt"], **fields}
        body = orjson.dumps({"status": status, **fields})
        self.record(body, topic="run-updates", partition=partition)

    def claim(self, run: Json, worker: str = "w1", **fields: Json) -> Json:
        """Claim a run; what `runs` shows then."""
        self.update("running", run, worker=worker, **fields)
        return self.run(run)

    def heartbeat(self, *runs: Json, worker: str = "w1") -> None:
        """Say that a worker still has these runs."""
        listed = [self.run(run) for run in runs]
        beaten = [{name: run[name] for name in ("run_id", "attempt")} for run in listed]
        self.update("heartbeat", worker=worker, runs=beaten)

    def request(
        self,
        kind: str,
        /,
        *,
        request_id: str | None = None,
        at: int | None = None,
        reason: str | None = None,
        **body: Json,
    ) -> str:
        """Produce a request, received `at`, or one ms after the record before; its id."""
        number = len(self.requested)
        request_id = request_id or keys.run_id_text((self.now << 80 | number).to_bytes(16, "big"))
        self.requested.append(request_id)
        record = {
            "request_id": request_id,
            "type": kind,
            "requested_by": "tester",
            "reason": reason,
            "body": {name.rstrip("_"): value for name, value in body.items()},
        }
        self.record(json.dumps(record).encode(), topic="requests", at=at)
        self.replay()
        return request_id

    def cancel_runs(
        self, slug: str, *, after: int | None = None, before: int | None = None, **more: Json
    ) -> str:
        """Ask for a cancellation of a function's runs; before the call, unless it says until when.

        The request's id.
        """
        app_id, _, function_id = slug.partition("-")
        body: Json = {"app_id": app_id, "function_id": function_id, "started_after": after}
        before = self.now + 1 if before is None else before
        return self.request("cancel_runs", **body, started_before=before, **more)

    def replay(self) -> None:
        """Route what was replayed, as routers do by themselves."""
        if self._reads_at_once:
            for partition in range(len(self.partitions)):
                self.read("replayed", partition)

    def restart(self, partition: int | None = None) -> None:
        """Kill joiners and let them start again."""
        for one in self.partitions if partition is None else [self.partitions[partition]]:
            one.end()
            one.begin()
        self.work()

    def read_no_longer(self, topic: str) -> None:
        """Routers and joiners are told of other inputs; the topic stays in `topics`."""
        self._places = [place for place in self._places if place[0] != topic]

    @contextmanager
    def down(self, *partitions: int) -> Iterator[None]:
        """The joiners of these partitions, or of all, do nothing in here; their input waits."""
        self._down = set(partitions or range(len(self.partitions)))
        yield
        self._down = set()
        self.work()

    @contextmanager
    def commands_late(self, partition: int) -> Iterator[None]:
        """Routers have yet to write to this partition; what other joiners send it comes before."""
        self._late[partition] = []
        yield
        for batch in self._late.pop(partition):
            self.send_batch(batch, partition)

    def work(self) -> None:
        """Let every partition work until none has anything to do."""
        before = -1
        while before != (before := sum(one.applied_transactions for one in self.partitions)):
            for number, one in enumerate(self.partitions):
                if number not in self._down:
                    one.work()

    def close(self) -> None:
        """Close the stores."""
        for one in self.partitions:
            one.end()

    # Then

    def cancelled(self) -> list[str]:
        """The ids of the events whose runs were cancelled, in no particular order but sorted."""
        return sorted(one["data"]["event"]["id"] for one in self.cancellations())

    def cancellations(self) -> list[Json]:
        """The `function.cancelled` events."""
        return [orjson.loads(one.value or b"") for one in self.cluster.records("cancelled")]

    def cancellation(self, event: Sent) -> Json:
        """The one `function.cancelled` of an event's run."""
        (found,) = [one for one in self.cancellations() if one["data"]["event"]["id"] == event.id]
        return found

    def run(self, event: Sent | Json, function: str | None = None) -> Json:
        """The newest `runs` record of an event's one run (or of a record's)."""
        runs = self.runs(event, function)
        assert len(runs) == 1, f"{len(runs)} runs of {event}"
        return runs[0]

    def runs(self, event: Sent | Json | None = None, function: str | None = None) -> list[Json]:
        """The newest `runs` record of each run there is, by received time."""
        newest = {}
        for record in self.cluster.records("runs"):
            newest[record.key] = None if record.value is None else orjson.loads(record.value)
        runs = [run for run in newest.values() if run is not None]
        if isinstance(event, Sent):
            runs = [run for run in runs if run["event"]["id"] == event.id]
        elif event is not None:
            runs = [run for run in runs if run["run_id"] == event["run_id"]]
        if function is not None:
            runs = [run for run in runs if run["function_id"] == function]
        return sorted(runs, key=lambda run: str(run["run_id"]))

    def status(self, event: Sent) -> str:
        """The status of an event's one run."""
        return str(self.run(event)["status"])

    def history(self, event: Sent) -> list[str]:
        """The statuses of all `runs` records of an event's run; `removed` for a tombstone."""
        run_ids = defaultdict(list)
        for record in self.cluster.records("runs"):
            body = None if record.value is None else orjson.loads(record.value)
            if body is not None and body["event"]["id"] == event.id:
                run_ids[record.key].append(body["status"])
            elif body is None and record.key in run_ids:
                run_ids[record.key].append("removed")
        (statuses,) = run_ids.values()
        return statuses

    def progress(self, request_id: str) -> Json:
        """How far a request is: the states of the partitions that know it, and sums of the rest."""
        newest = {}
        for record in self.cluster.records("request-progress"):
            body = orjson.loads(record.value or b"")
            if body["request_id"] == request_id and "failed" in body and "run_id" not in body:
                newest[body["partition"]] = body
        totals: dict[str, Json] = {"states": sorted({one["state"] for one in newest.values()})}
        for name in ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed"):
            totals[name] = sum(one[name] for one in newest.values())
        totals["sample"] = sorted(run for one in newest.values() for run in one["sample"])
        outcomes = [one["outcome"] for one in newest.values() if one["outcome"]]
        return totals | {"partitions": len(newest), "outcomes": outcomes}

    def failures(self, request_id: str) -> list[Json]:
        """The runs for which a request's condition had no answer."""
        found = [orjson.loads(one.value or b"") for one in self.cluster.records("request-progress")]
        return [one for one in found if one["request_id"] == request_id and "run_id" in one]

    def dead_letters(self) -> list[dict[str, str]]:
        """The dead letters: `value`, and what the error headers say."""
        found = []
        for record in self.cluster.records("dead-letters"):
            error = {
                name.removeprefix(_ERROR): cast("bytes", value).decode()
                for name, value in record.headers
                if name.startswith(_ERROR)
            }
            found.append({"value": (record.value or b"").decode(errors="replace"), **error})
        return found

    def count(self, *name: str) -> int:
        """How often the joiners counted something."""
        return sum(one.recorded.counts[name] for one in self.partitions)

    def rows(self, space: bytes) -> list[tuple[bytes, bytes]]:
        """All rows of one space, over all partitions."""
        return [row for one in self.partitions for row in one.store.scan(space, space)]

    def home(self, event: Sent) -> int:
        """The partition that decides on an event's run."""
        run_id = keys.run_id_bytes(self.run(event)["run_id"])
        return keys.partition_of_run(run_id, len(self.partitions))

    # Routers

    def _route(self, records: Iterable[Record]) -> None:
        self._pipeline.feed(records, self.registry, self.now)
        output = self._pipeline.take()
        for letter in output.dead_letters:
            self.cluster.log("dead-letters", 0).append(
                letter.value,
                key=letter.key,
                headers=letter.headers,
            )
        for partition, batch in output.batches:
            if partition in self._late:
                self._late[partition].append(batch)
            else:
                self.cluster.log("commands", partition).append(batch)
        for what in ("routed", "ignored", "dead", "rejections"):
            for name, number in getattr(output.counts, what).items():
                self.router_counts[what, name] += number
        self.trigger_errors += output.errors

    def _sources(self) -> frozenset[tuple[bytes, int]]:
        return frozenset((self._ids[topic], partition) for topic, partition in self._places)

    def _progress(self, place: tuple[str, int]) -> Progress:
        log, done = self.cluster.log(*place), self._read[place]
        if done == log.end:
            return Progress(*place, offset=done - 1, time=self.now)
        read = [one.received for one in log.records if one.offset < done]
        return Progress(*place, offset=done - 1, time=read[-1] if read else 0)


def _record(topic: str, partition: int, record: Any) -> Record:
    return Record(
        topic, partition, record.offset, record.received, record.key, record.value, record.headers
    )
