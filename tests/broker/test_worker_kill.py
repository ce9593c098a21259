"""Workers that die, freeze, or lose their broker: another one goes on where they recorded."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streams.broker import LocalBroker
from tests.support.worker import (
    PATIENCE_S,
    Backend,
    Mark,
    Shop,
    Worker,
    check_attempts,
    check_steps,
)

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]
LEASE = "6s"
PLAN = ("one", "slow two", "sleep nap 100ms", "three")
STEPS = {"one", "two", "three"}
KILLED = {137, -9}
# Where the worker dies (`streams.crash`), and what was recorded then, where that is certain:
# heartbeats are transactions too, so it isn't where the third or fourth one is meant.
POINTS: dict[str, set[str] | None] = {
    "worker_after_produce:1": set(),  # the claim
    "worker_before_commit:1": set(),
    "worker_after_commit:1": set(),
    "worker_claimed": set(),
    "worker_after_produce:3": None,
    "worker_before_commit:3": None,
    "worker_after_commit:3": None,
    "worker_recorded": {"one"},
    "worker_recorded:3": {"one", "two", "nap"},
    "worker_before_last_word": {"one", "two", "nap", "three"},
}


@pytest.fixture(scope="module")
def backend(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Router and joiner for all tests; each has an app of its own."""
    found = Backend(kafka, tmp_path_factory.mktemp("worker"))
    try:
        found.start()
        yield found
    finally:
        found.close()


class Killed:
    """An app whose worker died at a point, and then another one came."""

    def __init__(self, backend: Backend, point: str) -> None:
        """Neither has started."""
        self.point = point
        self.shop = Shop(backend, lease=LEASE)
        self.first = self.shop.worker(1)
        self.second = self.shop.worker(2)
        self.pid = 0

    def ready(self) -> None:
        """Wait until the first worker has joined."""
        self.first.join()
        self.pid = self.first.pid

    def replace(self) -> None:
        """Wait until the first worker has died; let the second one come."""
        assert self.first.wait(PATIENCE_S) in KILLED, self.point
        self.second.start()

    @property
    def recorded(self) -> set[str]:
        """The steps that the first worker recorded before it died."""
        attempts = {one.attempt for one in self.shop.marks("run", "begin") if one.pid == self.pid}
        found = self.shop.recorded("run")
        return {step for step, one in found.items() if one["attempt"] in attempts}


@pytest.fixture(scope="module")
def killed(backend: Backend) -> Iterator[dict[str, Killed]]:
    """By point. All at once, since most of the time is spent on waiting for leases."""
    with ExitStack() as exits:
        found = {point: Killed(backend, point) for point in POINTS}
        for point, one in found.items():
            exits.enter_context(one.shop)
            one.first.start(point)
        for one in found.values():
            one.ready()
            one.shop.request("run", *PLAN, pause=0.01)
        for one in found.values():
            one.replace()
        for one in found.values():
            one.shop.reaches("run", "completed")
        yield found


@pytest.mark.parametrize("point", POINTS)
def test_s34_a_kill_repeats_no_recorded_step(killed: dict[str, Killed], point: str) -> None:
    """Wherever the worker is killed, another one completes the run, from what was recorded."""
    one = killed[point]
    if POINTS[point] is not None:
        assert one.recorded == POINTS[point]
    later = {mark.step for mark in one.shop.marks("run", "begin") if mark.pid != one.pid}
    assert later == STEPS - one.recorded
    assert {mark.step for mark in one.shop.marks("run", "end")} == STEPS
    check_attempts(one.shop)
    check_steps(one.shop)
    # A claim that a killed worker's open transaction delays beyond the lease costs one more.
    claimed = point not in {"worker_after_produce:1", "worker_before_commit:1"}
    assert one.shop.run("run")["attempt"] >= 1 + claimed


@pytest.fixture(scope="module")
def pair(backend: Backend) -> Iterator[tuple[Shop, Worker, Worker]]:
    """An app with two workers."""
    with Shop(backend, lease=LEASE) as shop:
        yield shop, shop.start(1), shop.start(2)


def test_s31_a_frozen_worker_commits_nothing_after_its_lease(
    pair: tuple[Shop, Worker, Worker],
) -> None:
    """Another worker has the run by then; the zombie's step ends, and nobody hears of it.

    On a busy machine leases end for lack of heartbeats, too, so no attempt has a fixed number.
    """
    shop, *both = pair
    shop.request("zombie", "load", "hold compute", "render")
    shop.begins("zombie", "compute")
    held = shop.marks("zombie", "begin")[-1]
    [frozen] = [one for one in both if one.pid == held.pid]
    frozen.pause()
    shop.until(lambda: computes_elsewhere(shop, held))
    last = max(one.attempt for one in shop.marks("zombie", "begin") if one.pid == held.pid)
    before = words_of(shop, held.pid, last)
    shop.open_gate("zombie")
    done = shop.reaches("zombie", "completed")
    frozen.resume()
    shop.until(lambda: (held.pid, "compute") in ended(shop, "zombie"))
    works_again(shop, frozen)
    recorded = {step: one["attempt"] for step, one in shop.recorded("zombie").items()}
    assert recorded.keys() == {"load", "compute", "render"}
    assert recorded["load"] <= last < recorded["compute"] <= recorded["render"]
    assert words_of(shop, held.pid, last) == before
    assert (held.pid, "render") not in ended(shop, "zombie")
    assert done["attempt"] == recorded["render"]
    assert shop.run("zombie")["seq"] == done["seq"]
    check_attempts(shop)
    check_steps(shop)


def computes_elsewhere(shop: Shop, held: Mark) -> bool:
    """Whether another process executes the step that a mark tells of, in a later attempt."""
    return any(
        one.step == held.step and one.attempt > held.attempt and one.pid != held.pid
        for one in shop.marks(held.work, "begin")
    )


def words_of(shop: Shop, pid: int, last: int) -> list[tuple[str, str | None]]:
    """What a worker said of the frozen run up to an attempt: status and step.

    It may claim a later attempt once more, from a dispatch that is new to it: that is refused.
    """
    run_id = shop.run("zombie")["run_id"]
    return [
        (one["status"], one.get("step"))
        for one in shop.updates()
        if f"-{pid}-" in one["worker"] and one.get("run_id") == run_id and one["attempt"] <= last
    ]


def ended(shop: Shop, work: str) -> set[tuple[int, str]]:
    """Which process has ended which step."""
    return {(one.pid, one.step) for one in shop.marks(work, "end")}


def works_again(shop: Shop, worker: Worker) -> None:
    """Ask for runs until this worker has completed one."""
    works: list[str] = []
    while not [
        one for one in shop.marks(None, "end") if one.pid == worker.pid and one.work in works
    ]:
        assert len(works) < 1_000
        works.append(f"again{len(works)}")
        shop.request(works[-1], "one")
        shop.reaches(works[-1], "completed")


def test_two_workers_share_what_there_is(pair: tuple[Shop, Worker, Worker]) -> None:
    """Both get runs, and none is executed twice."""
    shop, *both = pair
    works: list[str] = []
    shares: set[int] = set()
    while shares != {one.pid for one in both}:
        assert len(works) < 1_000
        wave = [f"share{len(works) + number}" for number in range(20)]
        for work in wave:
            shop.request(work, "one", "slow two", pause=0.01)
        works += wave
        shop.all_reach(works, "completed")
        shares = {one.pid for one in shop.marks(None, "end") if one.work in works}
    done = sorted((one.work, one.step) for one in shop.marks(None, "end") if one.work in works)
    assert done == sorted((work, step) for work in works for step in ("one", "two"))
    check_attempts(shop)
    check_steps(shop)


def test_a_broker_that_dies_meanwhile(prepared_cache: None, tmp_path: Path) -> None:
    """Runs that hold, sleep or were cancelled go on when it is back; no step is repeated."""
    held = [f"hold{number}" for number in range(6)]
    with LocalBroker() as broker, ExitStack() as exits:
        backend = Backend(broker.bootstrap_servers, tmp_path)
        exits.callback(backend.close)
        backend.start()
        shop = exits.enter_context(Shop(backend))
        shop.start()
        for work in held:
            shop.request(work, "load", "hold compute", "render")
        shop.request("sleeps", "load", "sleep wait 1s", "render")
        shop.request("stops", "load", "hold compute", "render")
        for work in [*held, "stops"]:
            shop.begins(work, "compute")
        shop.cancel("stops")
        shop.reaches("stops", "cancelled")
        broker.kill()
        for work in held[:3]:
            shop.open_gate(work)
        shop.open_gate("stops")
        broker.start()
        for work in held[3:]:
            shop.open_gate(work)
        shop.all_reach([*held, "sleeps"], "completed")
        shop.stops("stops")
        shop.is_cleaned("stops")
        assert shop.begun("stops") == ["load", "compute"]
        assert {one.fields["cancelled"] for one in shop.marks(None, "begin")} == {False}
        check_attempts(shop)
        check_steps(shop)
