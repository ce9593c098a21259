"""500 runs on several workers under random cancels, kills and restarts: nothing goes wrong."""

import random
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.worker import (
    ENDED,
    Backend,
    Kept,
    Mark,
    Shop,
    Worker,
    check_attempts,
    check_steps,
)

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]
RUNS = 500
WORKERS = 3
KILLS = 6
CANCELLED = 0.45
SPREAD = 40
# So many runs end within the patience for one, also on a slow machine.
PORTION = 50
STEPS = ("one", "two", "three", "four")
PLAN = ("one", "slow two", "sleep nap 300ms", "three", "sleep rest 1200ms", "slow four")
SETTINGS = {"WORKER_PARK_AFTER": "1s", "WORKER_CONCURRENCY": "60", "WORKER_GRACE": "10s"}
_PACE_S = 0.02


class Storm:
    """What is done in which order, by a seed."""

    def __init__(self, seed: int) -> None:
        """Cancels come before, during and after their runs; kills in between."""
        self._random = random.Random(seed)
        self.works = [f"run{number}" for number in range(RUNS)]
        self.cancelled: set[str] = set()
        places: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        for number, work in enumerate(self.works):
            places[number].append(("request", work))
            if self._random.random() < CANCELLED:
                self.cancelled.add(work)
                places[number + self._random.randrange(SPREAD)].append(("cancel", work))
        for place in self._random.sample(range(20, RUNS), KILLS):
            victim = str(self._random.randrange(WORKERS))
            places[place].append((self._random.choice(["kill", "kill", "end"]), victim))
        self.plan = [one for place in sorted(places) for one in places[place]]

    def blow(self, shop: Shop, workers: list[Worker]) -> None:
        """Do all of it."""
        pause = threading.Event()
        for what, whom in self.plan:
            match what:
                case "request":
                    shop.request(whom, *PLAN, pause=self._random.uniform(0, 0.3))
                case "cancel":
                    shop.cancel(whom)
                case how:
                    victim = workers[int(whom)]
                    victim.end(orderly=how == "end")
                    victim.start()
            pause.wait(self._random.uniform(0, 2 * _PACE_S))


@pytest.mark.parametrize("seed", [20260131])
def test_s31_to_s34_hold_in_a_storm(kafka: str, tmp_path: Path, seed: int) -> None:
    """Zero runs that go on after a cancel was seen, end twice, or repeat what was recorded."""
    backend = Backend(kafka, tmp_path)
    storm = Storm(seed)
    try:
        backend.start()
        with Shop(backend, lease="8s") as shop:
            workers = [shop.worker(number, **SETTINGS) for number in range(WORKERS)]
            for one in workers:
                one.start()
            for one in workers:
                one.join()
            storm.blow(shop, workers)
            for first in range(0, RUNS, PORTION):
                shop.all_reach(storm.works[first : first + PORTION], *ENDED)
            ends = check_ends(shop, storm)
            shop.until(lambda: ends <= {one.work for one in shop.marks(None, "cleanup")})
            check_cleanups(shop, ends)
            check_cancels(shop)
            check_attempts(shop)
            check_steps(shop)
    finally:
        backend.close()


def by_work(shop: Shop) -> dict[str, list[Kept]]:
    """The records of each run, in order."""
    found = defaultdict(list)
    for one in shop.kept():
        found[one.record["event"]["data"]["work"]].append(one)
    return found


def check_ends(shop: Shop, storm: Storm) -> set[str]:
    """Every run ended, and in one way; the works that were cancelled."""
    cancelled = set()
    for work, records in by_work(shop).items():
        assert len({one.record["run_id"] for one in records}) == 1
        statuses = [one.record["status"] for one in records]
        first = next(place for place, status in enumerate(statuses) if status in ENDED)
        assert set(statuses[first:]) <= {"completed"} or set(statuses[first:]) == {"cancelled"}, (
            work
        )
        if statuses[-1] == "cancelled":
            cancelled.add(work)
        else:
            assert {one.step for one in shop.marks(work, "end")} == set(STEPS)
    assert len(by_work(shop)) == RUNS
    assert cancelled <= storm.cancelled
    assert len(cancelled) > 0.1 * RUNS
    return cancelled


def check_cleanups(shop: Shop, cancelled: set[str]) -> None:
    """Only cancelled runs are cleaned up, and after a cleanup nothing happens in the run."""
    cleaned: dict[str, int] = {}
    for one in shop.marks(None, "cleanup"):
        cleaned.setdefault(one.work, one.at)
    assert set(cleaned) == cancelled
    late = [
        one for one in shop.marks(None, "begin", "end") if one.at > cleaned.get(one.work, one.at)
    ]
    assert late == []


def check_cancels(shop: Shop) -> None:
    """No step begins in a worker that knows of the cancel.

    It knows when it says so itself, and it must know once it executes a run whose claim was
    accepted later than the cancel in the same partition of `runs`, which it reads in order.
    """
    begun = shop.marks(None, "begin")
    assert [one for one in begun if one.fields["cancelled"]] == []
    cancels: dict[str, Kept] = {}
    claims: dict[tuple[str, int], Kept] = {}
    for one in shop.kept():
        work, attempt = one.record["event"]["data"]["work"], one.record["attempt"]
        if one.record["status"] == "cancelled":
            cancels.setdefault(work, one)
        elif one.record["status"] == "running":
            claims.setdefault((work, attempt), one)  # later ones tell the same once more
    witnesses = [(claims[one.work, one.attempt], one) for one in begun]
    seen = 0
    for work, cancel in cancels.items():
        known = knowing(cancel, witnesses)
        seen += len(known)
        assert [
            one for one in begun if one.work == work and one.at > known.get(one.pid, one.at)
        ] == []
    assert seen > len(cancels)


def knowing(cancel: Kept, witnesses: list[tuple[Kept, Mark]]) -> dict[int, int]:
    """Since when, at the latest, each process knew of a cancel."""
    known: dict[int, int] = {}
    for claim, mark in witnesses:
        if claim.partition == cancel.partition and claim.offset > cancel.offset:
            known[mark.pid] = min(mark.at, known.get(mark.pid, mark.at))
    return known
