"""The benchmarks measure what they say: every section in small, with its counts checked."""

from pathlib import Path

import pytest

from tests.bench import (
    activity,
    beside,
    doors,
    fan_out,
    latency,
    pending,
    rates,
    read_model,
    sessions,
)
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError
from tests.bench.load import Work
from tests.bench.probe import Pace
from tests.support.broker import unique_name

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

WORK = Work(2_000)
SLOW = Pace(100, 20, 1.0)


@pytest.fixture
def bench(kafka: str, tmp_path: Path) -> Bench:
    """A bench on the broker of this test run."""
    return Bench(kafka, tmp_path, f"{unique_name('bench')}-")


def test_rates_are_of_counted_outputs(bench: Bench) -> None:
    """Countermand, the router alone and the joiner alone emit exactly what the work implies."""
    assert rates.countermand(bench, WORK) > 0
    assert all(rate > 0 for rate in rates.router_and_joiner(bench, WORK).values())


def test_a_wrong_count_is_no_result(bench: Bench) -> None:
    """Outputs of other work are refused: a benchmark of something else is a defect."""
    topic = bench.topic("cancelled")
    with pytest.raises(BenchError, match="0, not 200"):
        rates.check_cancelled(bench, topic, WORK)


def test_latency_answers_every_cancel(bench: Bench) -> None:
    """Each cancel of the steady part is timed."""
    found = latency.measure(bench, 1_000, SLOW, SLOW)
    assert 0 < found["p50"] <= found["p99"]


def test_pending_runs_survive_both_restarts(bench: Bench) -> None:
    """All figures are there, and the joiner has every run after a warm and after a cold start."""
    found = pending.measure(bench, 500, 2_000, SLOW, SLOW)
    assert all(figure > 0 for figure in found.values())


def test_fan_out_is_counted(bench: Bench) -> None:
    """One cancel event cancels each of its runs, and the others' waits are taken meanwhile."""
    found = fan_out.measure(bench, 2_000, 2_000)
    assert all(figure > 0 for figure in found.values())


def test_changes_in_the_read_model_are_counted(bench: Bench) -> None:
    """Every run is in the database, with its last change."""
    assert read_model.measure(bench, 3_000)["changes_per_s"] > 0


def test_changes_are_copied_with_and_without_counting(bench: Bench) -> None:
    """By turns, each time all of them."""
    assert activity.read_model_ratio(bench, 2_000, 1) > 0


def test_waits_beside_searches_are_of_answered_calls(bench: Bench) -> None:
    """Probes and keys are answered as they should be, while runs are searched."""
    found = doors.measure(bench, 2_000, searchers=4, calls=10)
    assert all(figure > 0 for figure in found.values())


def test_waits_for_a_frozen_router_are_seen(bench: Bench) -> None:
    """An event waits as long as its router is frozen, where its session is longer."""
    found = sessions.measure(bench, ["6s"], freezes_s=[2])
    assert found["frozen_2s_6s"] >= 2
    assert found["killed_6s"] >= 1


def test_a_commit_is_measured_beside_this_tree(bench: Bench) -> None:
    """Both take the same work; beside itself a tree has all figures, too."""
    found = beside.measure(bench, beside.ROOT, 1, 500)
    assert found.keys() == {"joiner_us", "router_us", "seconds"}
    assert all(figures["ratio"] > 0 for figures in found.values())
