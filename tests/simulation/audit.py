"""What must be true at the end of every run."""

from collections import Counter

import orjson

from streams.joiner.decide import derive
from tests.simulation import requests
from tests.simulation.world import World
from tests.support import oracle
from tests.support.oracle import RunName
from tests.support.rows import MemoryRows
from topology.tables import Checkpoint, Space

_MONTHS_MS = 60 * 24 * 60 * 60 * 1000
# What stays when every run is gone: applied, barrier, sources, functions.
_KEPT = frozenset(space[0] for space in (Space.APPLIED, Space.BARRIER, Space.SOURCE))


def findings(world: World) -> list[str]:
    """Everything that is wrong with a run that has settled; ends it by letting months pass."""
    found = [*_cancels(world), *_runs(world), *requests.findings(world), *_rebuilt(world)]
    world.skip(_MONTHS_MS)
    world.skip(_MONTHS_MS)
    return [*found, *_rebuilt(world), *_leftovers(world)]


def _cancels(world: World) -> list[str]:
    """Each expected cancel exactly once, none besides."""
    expected = oracle.cancelled(world.functions, world.traffic.occurrences, oracle.compiled)
    replayed = requests.replayed(world)
    by_event: Counter[RunName] = Counter()
    by_run: Counter[str] = Counter()
    for record in world.cluster.records("cancelled"):
        data = orjson.loads(record.value or b"")["data"]
        by_run[data["run_id"]] += 1
        if data["cause"]["type"] == "event" and data["run_id"] not in replayed:
            by_event[data["function_id"], data["event"]["id"]] += 1
    statuses = _statuses(world)
    ended = {name for name, status in statuses.items() if status in {"completed", "failed"}}
    timed_out = {name for name, status in statuses.items() if status == "cancelled"} - set(by_event)
    return [
        *(f"missing: {name}" for name in sorted(expected - set(by_event) - ended - timed_out)),
        *(f"extra: {name}" for name in sorted(set(by_event) - expected)),
        *(f"duplicate: {run}" for run, times in by_run.items() if times > 1),
        *(
            f"cancelled without an event: {name}"
            for name in sorted(timed_out)
            if name[0] not in {"sim-timed", *requests.BULK}
        ),
    ]


def _runs(world: World) -> list[str]:
    """Each event registers the runs that it should, and each run's records count on."""
    expected = set(oracle.runs(world.functions, world.traffic.occurrences, oracle.compiled))
    statuses = _statuses(world)
    found = [f"not registered: {name}" for name in sorted(expected - set(statuses))]
    found += [f"registered: {name}" for name in sorted(set(statuses) - expected)]
    numbers: dict[bytes | None, int] = {}
    ids: dict[RunName, set[bytes | None]] = {}
    for record in world.cluster.records("runs"):
        if record.value is None:
            continue
        run = orjson.loads(record.value)
        if "replay_id" not in run:
            ids.setdefault((run["function_id"], run["event"]["id"]), set()).add(record.key)
        last = numbers.get(record.key, 0)
        if run["seq"] not in {last, last + 1}:
            found.append(f"seq {run['seq']} after {last}: {run['run_id']}")
        numbers[record.key] = max(last, run["seq"])
    return found + [f"twice registered: {name}" for name, keys in ids.items() if len(keys) > 1]


def _statuses(world: World) -> dict[RunName, str]:
    """The last status of every run that there ever was."""
    statuses = {}
    for record in world.cluster.records("runs"):
        if record.value is not None:
            run = orjson.loads(record.value)
            if "replay_id" in run:
                continue
            statuses[run["function_id"], run["event"]["id"]] = run["status"]
    return statuses


def _rebuilt(world: World) -> list[str]:
    """The live rows are those that the changelog gives, derived ones included."""
    found = []
    for partition, owner in world.joiners.owners.items():
        assert owner is not None, "everything is settled"
        rows = MemoryRows()
        records = world.cluster.log("state", partition).read(0)
        while records:
            size = world.random.randint(1, len(records))
            facts = {record.key or b"": record.value for record in records[:size]}
            rows.write(rows.batch(facts, derive.restored(rows.get, facts), Checkpoint(b"", 0, 0)))
            records = records[size:]
        live = owner.processor.store.rows
        found += [
            f"partition {partition}: row {key!r} {live.get(key)!r}, rebuilt {rows.get(key)!r}"
            for key in sorted(live.keys() | rows.rows.keys())
            if live.get(key) != rows.get(key)
        ]
    return found


def _leftovers(world: World) -> list[str]:
    """When every run has ended and was removed, nothing is left of it."""
    found = []
    for partition, owner in world.joiners.owners.items():
        assert owner is not None, "everything is settled"
        left = [key for key in owner.processor.store.rows if key[0] not in _KEPT]
        found += [f"partition {partition}: left row {key!r}" for key in left]
        if owner.processor.applied.pending:
            found.append(f"partition {partition}: {owner.processor.applied.pending} runs pending")
    return found
