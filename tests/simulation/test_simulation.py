"""Seeded runs in which everything fails, and proof that they would notice."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from streams.errors import DamagedStoreError
from streams.joiner.decide.poison import PoisonError
from tests.simulation.audit import findings
from tests.simulation.plants import PLANTS
from tests.simulation.world import World
from topology import tables

SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)
STEPS = 1_500
EVERY_FAULT = {
    *("abort", "before_commit", "after_commit", "fenced_before_commit", "fenced_after_commit"),
    *("joiner_after_restore", "joiner_before_transaction", "joiner_after_write"),
    *("restore_before_batch", "restore_after_batch", "rebalance", "zombie_fenced", "outage"),
    *("router_crash", "router_zombie", "router_rebalance"),
}


def wrong_with(seed: int) -> list[str]:
    """What a run finds; a planted bug may also be found by the code itself."""
    world = World(seed)
    try:
        world.run(STEPS)
        return findings(world)
    except (AssertionError, DamagedStoreError, PoisonError) as error:
        return [repr(error)]


def test_every_run_cancels_what_it_should_and_nothing_else_whatever_fails() -> None:
    """Crashes at each step, aborts, zombies, rebalances and repeats lose and double nothing."""
    happened: Counter[str] = Counter()
    spaces: set[int] = set()
    for seed in SEEDS:
        world = World(seed)
        world.run(STEPS)
        assert findings(world) == [], f"make simulate SEED={seed}"
        happened += world.faults.happened
        spaces |= {(one.key or b"?")[0] for one in world.cluster.records("state")}
    assert set(happened) >= EVERY_FAULT
    assert spaces >= tables.WORK_SPACES, "every kind of long work was there"


def test_a_seed_gives_the_same_run_again() -> None:
    """A failing seed can be repeated."""
    one, other = World(7), World(7)
    for world in (one, other):
        world.run(500)
    for topic in ("events", "commands", "forwards", "runs", "cancelled"):
        assert one.cluster.records(topic) == other.cluster.records(topic)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_found(plant: Callable[[], AbstractContextManager[None]]) -> None:
    """A simulation that can't fail proves nothing."""
    with plant():
        assert any(wrong_with(seed) for seed in SEEDS)
