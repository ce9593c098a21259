"""One run of chaos from start to count."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

from streams.broker.local import LocalBroker
from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.chaos.audit import Audit
from tests.chaos.faults import Faults
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load
from tests.chaos.traffic import FUNCTIONS
from tests.chaos.worker import Worker
from tests.support.deadline import eventually
from tests.support.watch import Watch
from topology import topics

PARTITIONS: Final = 4
RECORDS_PER_S: Final = 1_500
_READY_S: Final = 120
# A busy machine must not make the broker believe that it is dead itself.
PATIENT: Final = {"broker.session.timeout.ms": "6000"}


class Outcome(NamedTuple):
    """What a run found; `folder` has the logs where something is wrong."""

    figures: Mapping[str, Any]
    problems: list[str]
    folder: Path


def minima(seconds: float) -> dict[str, int]:
    """What a run of this length must have had."""
    return {
        "kills_with_work": max(2, int(seconds / 10)),
        "zombies": 1,
        "broker_restarts": 1,
    }


def run(seconds: float, seed: int, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Load, faults, quiet, count; the folder is removed where all is well."""
    folder = Path(tempfile.mkdtemp(prefix="countermand-chaos-"))
    started = monotonic()

    def tell(text: str) -> None:
        say(f"{monotonic() - started:6.1f} s  {text}")

    with LocalBroker(folder / "kafka", properties=PATIENT) as broker:
        settings = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            topic_prefix="chaos.",
            application_id="chaos",
            partitions=PARTITIONS,
        )
        create_topics(settings)
        functions = settings.topic(topics.FUNCTIONS)
        apply_functions(clients.librdkafka(settings), functions, read_text(FUNCTIONS))
        return _Run(settings, broker, folder, tell).run(seconds, seed)


class _Run:
    def __init__(
        self, settings: Settings, broker: LocalBroker, folder: Path, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._folder = folder
        self._tell = tell

    def run(self, seconds: float, seed: int) -> Outcome:
        with ExitStack() as exits:
            watch = Watch(self._settings)
            exits.callback(watch.close)
            fleet = Fleet(self._settings, self._folder)
            exits.callback(fleet.end)
            faults = Faults(fleet, self._broker, watch, seed, self._tell)
            fleet.start()
            self._await_ready(fleet)
            worker = Worker(self._settings)
            exits.callback(worker.stop)
            self._torment(faults, seconds, seed)
            fleet.start()
            audit = Audit(watch, self._settings.topic_prefix)
            ended = monotonic()
            goal = audit.settle(fleet.look_after)
            caught_up_s = monotonic() - ended
            findings = audit.check(goal)
            codes = fleet.end()
        figures = {
            "expected": len(goal.cancelled),
            "missing": len(findings.missing),
            "duplicate": len(findings.duplicate),
            "extra": len(findings.extra),
            "wrong_runs": len(findings.wrong_runs),
            "cancelled": findings.seen,
            "runs": len(goal.runs),
            "events": goal.records,
            **{name: faults.happened[name] for name in ("kills", "kills_with_work", "zombies")},
            **{name: faults.happened[name] for name in ("pauses", "broker_restarts")},
            "exits": sum(len(one.exits) for one in fleet.services),
            "catch_up_s": round(caught_up_s, 1),
            "seed": seed,
        }
        problems = findings.lines() + _shortfalls(figures, seconds)
        problems += [f"{name} ended with {code}" for name, code in codes.items() if code]
        problems += [
            f"{one.name} had ended by itself with {end}"
            for one in fleet.services
            for end in one.exits
        ]
        return Outcome(figures, problems, self._folder)

    def _torment(self, faults: Faults, seconds: float, seed: int) -> None:
        load_ = Load(self._settings, seed, RECORDS_PER_S)
        load_.start()
        self._tell(f"load: {RECORDS_PER_S} records/s")
        try:
            faults.run(seconds, minima(seconds), most_s=3 * seconds + 300)
        finally:
            load_.finish()
        self._tell(f"load ends: {load_.sent} records")

    def _await_ready(self, fleet: Fleet) -> None:
        def ready() -> bool:
            fleet.look_after()
            return all(one.is_ready for one in fleet.services)

        eventually(ready, _READY_S)
        self._tell("two joiners and two routers are ready")


def _shortfalls(figures: Mapping[str, Any], seconds: float) -> list[str]:
    least = minima(seconds) | {"expected": int(500 * seconds)}
    return [
        f"{name}: {figures[name]}, at least {number} wanted"
        for name, number in least.items()
        if figures[name] < number
    ]
