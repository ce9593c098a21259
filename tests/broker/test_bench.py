"""The benchmarks measure what they say: every section in small, with its counts checked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.broker import LocalBroker
from tests.bench import (
    activity,
    beside,
    cpu,
    doors,
    fan_out,
    full_speed,
    latency,
    pending,
    rates,
    read_model,
    sessions,
    shapes,
)
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError
from tests.bench.full_speed import Speed
from tests.bench.load import Work
from tests.bench.probe import Pace
from tests.support.broker import unique_name
from tests.support.trees import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

WORK = Work(2_000)
SLOW = Pace(100, 20, 1.0)


@pytest.fixture
def bench(kafka_broker: LocalBroker, tmp_path: Path) -> Bench:
    """A bench on the broker of this test run."""
    servers, prefix = kafka_broker.bootstrap_servers, f"{unique_name('bench')}-"
    return Bench(servers, kafka_broker.pid, tmp_path, prefix)


def test_rates_are_of_counted_outputs(bench: Bench) -> None:
    """Countermand, the router alone and the joiner alone emit exactly what the work implies."""

    def ours_alone(on: Bench, work: Work) -> dict[str, Callable[[], Speed | None]]:
        return {rates.OURS: lambda: full_speed.countermand(on, work)}

    found = rates.measure(bench, WORK, Work(500), rounds=2, contestants=ours_alone)
    assert all(found[name] for name in (rates.OURS, "router", "joiner", "faust"))
    assert found["quix"] is None
    assert found["cpu_us"][rates.OURS].keys() == {"joiner", "router", "broker", *cpu.MACHINE}
    assert found["beside"].keys() == {"faust"}


@pytest.mark.timeout(600)
def test_the_cost_of_other_work_is_of_counted_outputs(bench: Bench) -> None:
    """Each shape emits the runs and the cancelled runs that its events imply."""
    found = shapes.measure(bench, 1_000, 1, peers=False)
    assert all(one["events_per_s"] > 0 and one["us"] > 0 for one in found.values())
    assert found["base"]["beside_base"] == 1


def test_a_wrong_count_is_no_result(bench: Bench) -> None:
    """Outputs of other work are refused: a benchmark of something else is a defect."""
    topic = bench.topic("cancelled")
    with pytest.raises(BenchError, match="0, not 200"):
        full_speed.check_cancelled(bench, topic, WORK)


def test_latency_answers_every_cancel(bench: Bench) -> None:
    """Each cancel of the steady part is timed."""
    found = latency.measure(bench, 1_000, SLOW, SLOW)
    assert 0 < found["p50"] <= found["p99"]
    assert 0 < found["half_p50"] <= found["half_p99"]


def test_pending_runs_survive_both_restarts(bench: Bench) -> None:
    """All figures are there, and the joiner has every run after a warm and after a cold start."""
    found = pending.measure(bench, 500, 20_000, SLOW, SLOW)
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
    found = beside.measure(bench, ROOT, 1, 5_000, Pace(400, 50, 2.0))
    assert found.keys() == {
        *("joiner_us", "router_us", "broker_us", "together_us", "seconds"),
        *("paced_joiner_us", "p50_ms", "p99_ms"),
    }
    assert all(figures["ratio"] > 0 for figures in found.values())
