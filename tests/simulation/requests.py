"""What must be true of requests at the end of every run: by the letter of S18 to S29."""

from collections import Counter
from typing import Any, Final

import orjson

from tests.simulation.traffic import Asked
from tests.simulation.world import World
from tests.support import oracle
from tests.support.oracle import Occurrence, RunName
from topology import limits

BULK: Final = ("sim-bulk", "sim-again")


def findings(world: World) -> list[str]:
    """Everything that is wrong with the requests of a run that has settled."""
    runs = oracle.runs(world.functions, world.traffic.occurrences, oracle.compiled)
    newest = _newest(world)
    told = _told(world)
    return [
        *_bulk(world, runs),
        *_paused(world, runs, newest),
        *_progress(world, newest, told),
        *_scanned(world, runs, told),
    ]


def replayed(world: World) -> set[str]:
    """The ids of runs that are replays."""
    return {run["run_id"] for run in _newest(world) if "replay_id" in run}


def _bulk(world: World, runs: dict[RunName, Occurrence]) -> list[str]:
    """Exactly the runs in the ranges are cancelled (S18 to S20); nothing else ends these runs."""
    expected = {
        name
        for name, run in runs.items()
        if name[0] == "sim-bulk"
        and any(_applies(one, run) for one in _firsts(world, "cancel_runs", "bulk"))
    }
    found = set()
    for record in world.cluster.records("cancelled"):
        data = orjson.loads(record.value or b"")["data"]
        if data["function_id"] == "sim-bulk":
            found.add((data["function_id"], data["event"]["id"]))
    return [
        *(f"not cancelled in bulk: {name}" for name in sorted(expected - found)),
        *(f"cancelled in bulk: {name}" for name in sorted(found - expected)),
    ]


def _applies(asked: Asked, run: Occurrence) -> bool:
    condition = asked.body["if"]
    true = condition is None or oracle.compiled(condition, run.event, None)
    return _in_range(asked, run) and true and not asked.body["dry_run"]


def _in_range(asked: Asked, run: Occurrence) -> bool:
    before = min(asked.body["started_before"], asked.received + limits.REQUEST_SLACK_MS)
    return bool(asked.body["started_after"] < run.received < before)


def _paused(
    world: World, runs: dict[RunName, Occurrence], newest: list[dict[str, Any]]
) -> list[str]:
    """Exactly the runs received within a pause are skipped, all others dispatched (S28)."""
    pauses = []
    seen = set()
    for one in world.traffic.requests:
        if one.type == "pause" and one.id not in seen:
            seen.add(one.id)
            pauses.append([one.received, 0])
        elif one.type == "resume":
            pauses = [[begin, end or one.received] for begin, end in pauses]
    found = []
    statuses = {run["event"]["id"]: run for run in newest if run["function_id"] == "sim-paused"}
    for (slug, event_id), run in runs.items():
        if slug == "sim-paused":
            skipped = any(begin < run.received < end for begin, end in pauses)
            now = statuses.get(event_id, {"status": None})
            if now["status"] != ("skipped" if skipped else "scheduled"):
                found.append(f"{now['status']}, but paused: {skipped}: {event_id}")
            elif not skipped and not now["dispatch"]:
                found.append(f"not dispatched: {event_id}")
    return found


def _progress(
    world: World, newest: list[dict[str, Any]], told: dict[str, list[dict[str, Any]]]
) -> list[str]:
    """Counts are those of the runs, per request; everything that was asked is done (S21, S29)."""
    cancelled = Counter(run["cancellation_id"] for run in newest if "cancellation_id" in run)
    again = Counter(run["replay_id"] for run in newest if "replay_id" in run)
    originals = Counter(
        (run["replay_id"], run["replay_of"]) for run in newest if "replay_id" in run
    )
    found = [f"replayed twice: {name}" for name, times in originals.items() if times > 1]
    for asked in (*_firsts(world, "cancel_runs"), *_firsts(world, "replay")):
        parts = told.get(asked.id, [])
        states = {part["state"] for part in parts}
        if len(parts) != world.setting.partitions or not states <= {"done", "stopped"}:
            found.append(f"{asked.type} {asked.id} is {states}")
        for name, counted in (("cancelled", cancelled), ("replayed", again)):
            total = sum(part[name] for part in parts)
            if total != counted[asked.id]:
                found.append(f"{asked.id}: {name} {total} told, {counted[asked.id]} found")
    return found


def _scanned(
    world: World, runs: dict[RunName, Occurrence], told: dict[str, list[dict[str, Any]]]
) -> list[str]:
    """A cancellation that is done has looked at each run of its range once."""
    found = []
    for asked in _firsts(world, "cancel_runs", "bulk"):
        parts = told.get(asked.id, [])
        if {part["state"] for part in parts} == {"done"}:
            total = sum(part["scanned"] for part in parts)
            there = sum(
                slug == "sim-bulk" and _in_range(asked, run) for (slug, _), run in runs.items()
            )
            if total != there:
                found.append(f"{asked.id}: {total} scanned of {there}")
    return found


def _told(world: World) -> dict[str, list[dict[str, Any]]]:
    """The last word of every partition on each request."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for record in world.cluster.records("request-progress"):
        body = orjson.loads(record.value or b"")
        if "state" in body:
            last[body["request_id"], body["partition"]] = body
    told: dict[str, list[dict[str, Any]]] = {}
    for (request_id, _), body in last.items():
        told.setdefault(request_id, []).append(body)
    return told


def _firsts(world: World, kind: str, function: str | None = None) -> list[Asked]:
    """The requests of a kind, without their repeats."""
    found: dict[str, Asked] = {}
    for one in world.traffic.requests:
        if one.type == kind and function in {None, one.body.get("function_id")}:
            found.setdefault(one.id, one)
    return list(found.values())


def _newest(world: World) -> list[dict[str, Any]]:
    """The last record of every run that there ever was."""
    newest = {}
    for record in world.cluster.records("runs"):
        if record.value is not None:
            newest[record.key] = orjson.loads(record.value)
    return list(newest.values())
