"""Contestants at full speed: the same work through Countermand and through the same join elsewhere.

The work lies in the topics before a contestant starts. The clock starts when the broker says that
the contestant's consumer group (Countermand: the router's; the joiners are ready by then) has all
its partitions, and all its members some. It stops when the last expected output is below the end of
its committed log. Then every output is read, read_committed, and counted; a contestant with another
number of outputs has no result.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import orjson

from tests.bench import outputs
from tests.bench.bench import Bench
from tests.bench.cpu import Meter, Spent
from tests.bench.deployment import (
    JOINERS,
    PARTITIONS,
    BenchError,
    Deployment,
    Joiners,
    Service,
    clean_environment,
    say,
)
from tests.bench.load import Work, preload, preload_joined
from tests.bench.peers.contestants import PEERS, Contest, why_not
from topology import codec, topics
from topology.records import Cancel, Register
from topology.topics import TopicPlace

_BROKER: Final = "broker"


class Speed(NamedTuple):
    """How fast a contestant was, and what each process spent per event (us)."""

    events_per_s: float
    spent: Spent


def countermand(
    bench: Bench,
    work: Work,
    partitions: int = PARTITIONS,
    launchers: Mapping[str, Sequence[str]] | None = None,
    joiners: int = JOINERS,
) -> Speed:
    """From two topics through one router and so many joiners to all outputs."""
    with bench.deployment(work.functions, launchers, partitions=partitions) as app:
        preload(bench.broker, work, app.triggers_topic, app.cancels_topic)
        ends = outputs.Ends(bench.broker, _output_topics(app))
        joiner = app.joiners(joiners)
        joiner.wait_ready()
        router = app.router()
        started = outputs.wait_assigned(
            bench.broker, app.settings.router_group, partitions, router.check
        )
        pids = {"joiner": joiner.pids, "router": [router.pid], _BROKER: [bench.broker_pid]}
        meter = Meter(pids)
        ended = _outputs_complete(bench, app, work, ends, _looking(meter, router, joiner))
        return _speed(work, started, ended, meter)


def router_and_joiner(bench: Bench, work: Work) -> dict[str, float]:
    """Events per second of the router alone, and then of one joiner alone on its commands."""
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
        joined = _outputs_complete(bench, app, work, ends, joiner.check) - started
        return {"router": work.events / routed, "joiner": work.events / joined}


def peer(bench: Bench, name: str, work: Work) -> Speed | None:
    """From one topic through the peer's repartition to the cancelled runs; None if it can't run."""
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
    services = [
        Service(f"{name}-{number}", command, folder, clean_environment())
        for number, command in enumerate(PEERS[name](contest))
    ]
    check = partial(_check_all, services)
    try:
        # Its input and the topic of its repartition.
        started = outputs.wait_assigned(bench.broker, group, 2 * PARTITIONS, check, len(services))
        meter = Meter({name: [one.pid for one in services], _BROKER: [bench.broker_pid]})
        ends.watch(lambda grown: grown[cancelled] >= work.cancels, _looking(meter, *services))
    finally:
        for service in services:
            service.stop()
    ended = ends.reached(check_cancelled(bench, cancelled, work))
    bench.forget(joined, cancelled, group)
    return _speed(work, started, ended, meter)


def _speed(work: Work, started: float, ended: float, meter: Meter) -> Speed:
    return Speed(work.events / (ended - started), meter.us_per_event(ended, work.events))


def _output_topics(app: Deployment) -> dict[str, int]:
    partitions = app.settings.partitions
    return {app.settings.topic(spec): partitions for spec in (topics.RUNS, topics.CANCELLED)}


def _outputs_complete(
    bench: Bench, app: Deployment, work: Work, ends: outputs.Ends, look: Callable[[], None]
) -> float:
    """Wait for all outputs, count them, and say when the last one was there."""
    runs, cancelled = app.settings.topic(topics.RUNS), app.settings.topic(topics.CANCELLED)

    def enough(grown: dict[str, int]) -> bool:
        return grown[runs] >= work.runs + work.cancelled and grown[cancelled] >= work.cancelled

    ends.watch(enough, look)
    app.close()
    return ends.reached(_check_runs(bench, runs, work) | check_cancelled(bench, cancelled, work))


def _looking(meter: Meter, *services: Service | Joiners) -> Callable[[], None]:
    """What is done at each look at the outputs."""

    def look() -> None:
        _check_all(services)
        meter.look()

    return look


def _check_all(services: Iterable[Service | Joiners]) -> None:
    for service in services:
        service.check()


def _check_runs(bench: Bench, topic: str, work: Work) -> dict[TopicPlace, int]:
    """Every run is announced once as scheduled, and every tenth once as cancelled."""
    last: dict[TopicPlace, int] = {}
    counts: Counter[str] = Counter()
    seen = set()
    for record in outputs.read_committed(bench.broker, topic):
        run = orjson.loads(outputs.value(record))
        counts[run["status"]] += 1
        seen.add(run["run_id"])
        last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(topic, dict(counts), {"scheduled": work.runs, "cancelled": work.cancelled})
    _expect(f"runs of {topic}", len(seen), work.runs)
    return last


def check_cancelled(bench: Bench, topic: str, work: Work) -> dict[TopicPlace, int]:
    """See that every cancelled run is there once; where the last ones lie.

    Raises:
        BenchError: Another number of runs, or of records, is there.
    """
    last: dict[TopicPlace, int] = {}
    seen: Counter[str] = Counter()
    for record in outputs.read_committed(bench.broker, topic):
        cancelled = orjson.loads(outputs.value(record))
        event = cancelled.get("event") or cancelled["data"]["event"]
        seen[event["data"]["reportId"]] += 1
        last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(f"cancelled reports of {topic}", len(seen), work.cancels)
    _expect(f"records of {topic}", seen.total(), work.cancelled)
    return last


def _check_commands(bench: Bench, app: Deployment, work: Work) -> dict[TopicPlace, int]:
    """Every event became its one command."""
    topic = app.settings.topic(topics.COMMANDS)
    last: dict[TopicPlace, int] = {}
    counts: Counter[type] = Counter()
    for record in outputs.read_committed(bench.broker, topic):
        batch = codec.COMMANDS.decode(outputs.value(record))
        if batch.entries:
            counts.update(type(command) for entry in batch.entries for command in entry.commands)
            last[topic, outputs.partition(record)] = outputs.offset(record)
    _expect(topic, dict(counts), {Register: work.triggers, Cancel: work.cancels})
    return last


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BenchError(f"{what}: {found}, not {expected}")
