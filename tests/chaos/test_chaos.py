"""The shorter form of `make chaos`."""

import shutil
from random import SystemRandom

import pytest

from tests.chaos.scenario import run


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_nothing_is_lost_and_nothing_comes_twice(prepared_cache: None) -> None:
    """S7, S8: kills, stalls, zombies and a broker's crash under load change no result."""
    seed = SystemRandom().randrange(1 << 31)
    outcome = run(15, seed, print)
    assert not outcome.problems, f"seed {seed}, logs in {outcome.folder}: {outcome.figures}"
    shutil.rmtree(outcome.folder, ignore_errors=True)
