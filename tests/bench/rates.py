"""`events_per_s`: the same work through Countermand and through the same join on other engines.

The work is 500,000 trigger events and a cancel event for every tenth of them, keyed by user and
not by what is matched; all of it lies in the topics before a contestant starts. The clock starts
when the broker says that the contestant's consumer group (Countermand: the router's; the joiner is
ready by then) has all its partitions, and stops when the last expected output is below the end of
its committed log. Then every output is read, read_committed, and counted; a contestant with
another number of outputs has no result.

- `countermand`: router and joiner, two topics in, `runs` and `cancelled` out.
- `router`: the router alone, until the command batches of all events are written.
- `joiner`: the joiner alone, on what the router wrote.
- `quix`, `kafka_streams`: one topic in, ordered by user, and only the cancelled runs out; their
  own repartition, exactly-once. `faust`: likewise, a tenth of the work, at least once.

The contestants that are compared take turns, and the median of each counts.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

import orjson

from tests.bench import outputs
from tests.bench.bench import Bench
from tests.bench.deployment import (
    PARTITIONS,
    BenchError,
    Deployment,
    Service,
    clean_environment,
    say,
)
from tests.bench.load import Work, preload, preload_joined
from tests.bench.peers.contestants import PEERS, Contest, why_not
from topology import codec, topics
from topology.records import Cancel, Register
from topology.topics import TopicPlace

ROUNDS: Final = 3
WORK: Final = Work(500_000)
SMALL: Final = Work(WORK.triggers // 10)


def measure(
    bench: Bench, work: Work = WORK, small: Work = SMALL, rounds: int = ROUNDS
) -> dict[str, int | None]:
    """Events per second of each contestant; None for one that can't run on this machine."""
    found: dict[str, list[float]] = {}
    compared: list[tuple[str, Callable[[], float | None]]] = [
        ("countermand", lambda: countermand(bench, work)),
        ("quix", lambda: peer(bench, "quix", work)),
        ("kafka_streams", lambda: peer(bench, "kafka_streams", work)),
    ]
    for name, run in compared * rounds:
        _note(found, name, run)
    _note(found, "faust", lambda: peer(bench, "faust", small))
    stages = router_and_joiner(bench, work)
    rates: dict[str, int | None] = {name: round(median(each)) for name, each in found.items()}
    rates |= {name: round(rate) for name, rate in stages.items()}
    order = ("countermand", "router", "joiner", "quix", "faust", "kafka_streams")
    return {name: rates.get(name) for name in order}


def countermand(
    bench: Bench, work: Work, launchers: Mapping[str, Sequence[str]] | None = None
) -> float:
    """Events per second, from two topics to all outputs."""
    with bench.deployment(launchers=launchers) as app:
        preload(bench.broker, work, app.triggers_topic, app.cancels_topic)
        ends = outputs.Ends(bench.broker, _output_topics(app))
        joiner = app.joiner()
        joiner.wait_ready()
        router = app.router()
        started = outputs.wait_assigned(
            bench.broker, app.settings.router_group, PARTITIONS, router.check
        )
        return work.events / (_outputs_complete(bench, app, work, ends, (router, joiner)) - started)


def router_and_joiner(bench: Bench, work: Work) -> dict[str, float]:
    """Events per second of the router alone, and then of the joiner alone on its commands."""
    with bench.deployment() as app:
        preload(bench.broker, work, app.triggers_topic, app.cancels_topic)
        group = app.settings.router_group
        ends = outputs.Ends(bench.broker, {app.settings.topic(topics.COMMANDS): PARTITIONS})
        router = app.router()
        started = outputs.wait_assigned(bench.broker, group, PARTITIONS, router.check)
        inputs = (app.triggers_topic, app.cancels_topic)
        ends.watch(lambda _: outputs.lag(bench.broker, group, inputs) == 0, router.check, quiet_s=0)
        router.stop()
        routed = ends.reached(_check_commands(bench, app, work)) - started
        ends = outputs.Ends(bench.broker, _output_topics(app))
        joiner = app.joiner()
        started = outputs.wait_assigned(
            bench.broker, app.settings.joiner_group, PARTITIONS, joiner.check
        )
        joined = _outputs_complete(bench, app, work, ends, (joiner,)) - started
        return {"router": work.events / routed, "joiner": work.events / joined}


def peer(bench: Bench, name: str, work: Work) -> float | None:
    """Events per second of a peer, from one topic through its repartition to the cancelled runs."""
    reason = why_not(name)
    if reason is not None:
        say(f"{name} is skipped: {reason}")
        return None
    joined, cancelled = bench.topic(f"{name}-joined"), bench.topic(f"{name}-cancelled")
    preload_joined(bench.broker, work, joined)
    group = bench.name(name)
    folder = bench.folder / group
    folder.mkdir()
    ends = outputs.Ends(bench.broker, {cancelled: PARTITIONS})
    contest = Contest(bench.broker, joined, cancelled, folder, group)
    service = Service(name, PEERS[name](contest), folder, clean_environment())
    try:
        # Its input and the topic of its repartition.
        started = outputs.wait_assigned(bench.broker, group, 2 * PARTITIONS, service.check)
        ends.watch(lambda grown: grown[cancelled] >= work.cancels, service.check)
    finally:
        service.stop()
    ended = ends.reached(check_cancelled(bench, cancelled, work))
    bench.forget(joined, cancelled, group)
    return work.events / (ended - started)


def _note(found: dict[str, list[float]], name: str, run: Callable[[], float | None]) -> None:
    began = time.monotonic()
    rate = run()
    if rate is not None:
        found.setdefault(name, []).append(rate)
        say(name, events_per_s=round(rate), seconds_in_all=round(time.monotonic() - began))


def _output_topics(app: Deployment) -> dict[str, int]:
    return {app.settings.topic(spec): PARTITIONS for spec in (topics.RUNS, topics.CANCELLED)}


def _outputs_complete(
    bench: Bench, app: Deployment, work: Work, ends: outputs.Ends, services: tuple[Service, ...]
) -> float:
    """Wait for all outputs, count them, and say when the last one was there."""
    runs, cancelled = app.settings.topic(topics.RUNS), app.settings.topic(topics.CANCELLED)

    def check() -> None:
        for service in services:
            service.check()

    def enough(grown: dict[str, int]) -> bool:
        return grown[runs] >= work.events and grown[cancelled] >= work.cancels

    ends.watch(enough, check)
    app.close()
    return ends.reached(_check_runs(bench, runs, work) | check_cancelled(bench, cancelled, work))


def _check_runs(bench: Bench, topic: str, work: Work) -> dict[TopicPlace, int]:
    """Every run is announced once as scheduled, and every tenth once as cancelled."""
    last: dict[TopicPlace, int] = {}
    counts: Counter[str] = Counter()
    seen = set()
    for record in outputs.read_committed(bench.broker, topic, PARTITIONS):
        run = orjson.loads(outputs.value(record))
        counts[run["status"]] += 1
        seen.add(run["run_id"])
        last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(topic, dict(counts), {"scheduled": work.triggers, "cancelled": work.cancels})
    _expect(f"runs of {topic}", len(seen), work.triggers)
    return last


def check_cancelled(bench: Bench, topic: str, work: Work) -> dict[TopicPlace, int]:
    """See that every cancelled run is there once; where the last ones lie.

    Raises:
        BenchError: Another number of runs, or of records, is there.
    """
    last: dict[TopicPlace, int] = {}
    seen: Counter[str] = Counter()
    for record in outputs.read_committed(bench.broker, topic, PARTITIONS):
        cancelled = orjson.loads(outputs.value(record))
        event = cancelled.get("event") or cancelled["data"]["event"]
        seen[event["data"]["reportId"]] += 1
        last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(f"cancelled reports of {topic}", len(seen), work.cancels)
    _expect(f"records of {topic}", seen.total(), work.cancels)
    return last


def _check_commands(bench: Bench, app: Deployment, work: Work) -> dict[TopicPlace, int]:
    """Every event became its one command."""
    topic = app.settings.topic(topics.COMMANDS)
    last: dict[TopicPlace, int] = {}
    counts: Counter[type] = Counter()
    for record in outputs.read_committed(bench.broker, topic, PARTITIONS):
        batch = codec.COMMANDS.decode(outputs.value(record))
        if batch.entries:
            counts.update(type(command) for entry in batch.entries for command in entry.commands)
            last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(topic, dict(counts), {Register: work.triggers, Cancel: work.cancels})
    return last


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BenchError(f"{what}: {found}, not {expected}")
