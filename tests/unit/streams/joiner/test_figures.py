"""What the joiner's decisions count comes out in metrics, each under a name of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from streams.joiner import figures
from streams.joiner.decide import entries
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.view import Partition, View
from streams.joiner.figures import Figures
from streams.joiner.store import Store
from streams.metrics import Metrics
from tests.support.rows import MemoryRows
from topology.records import CommandBatch, Entry, Listen, Register, Request, Resume, Topic
from topology.statuses import Cause, Status
from topology.tables import AppliedRow

JOINER = Path(figures.__file__).parent
# A label for each name that has one.
LABELS = {
    "cancels": Cause.EVENT,
    "runs": Status.SCHEDULED,
    "ignored_updates": "ended",
    "dead_letters": "undecidable",
}


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of a process, without those of its platform."""
    return Metrics(CollectorRegistry())


def a_view() -> View:
    """A view of a partition without rows."""
    return View(MemoryRows(), Partition(0, 1), Functions(), 0, 0)


def commit(metrics: Metrics, view: View) -> dict[str, float]:
    """Count a committed transaction; the counters that it moved, by their names and labels."""
    before = counters(metrics)
    Figures(metrics, 0).committed(view, AppliedRow(), cast("Store", MemoryRows()))
    moved = counters(metrics)
    moved.pop("countermand_transactions_total committed")
    return {name: value for name, value in moved.items() if value != before.get(name, 0)}


def counters(metrics: Metrics) -> dict[str, float]:
    """Every counter's value."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in metrics.registry.collect()
        if family.type == "counter"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def counted() -> Iterator[tuple[str, int]]:
    """The names that the joiner's code counts, each with its number of labels."""
    for file in sorted(JOINER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "view.count":
                name, *labels = node.args
                assert isinstance(name, ast.Constant), f"{file} counts a name made at run time"
                yield str(name.value), len(labels)


def test_every_counted_name_has_a_metric_of_its_own(metrics: Metrics) -> None:
    """Each moves one counter by one, and no two move the same."""
    names = dict(counted())
    moved = []
    for name, labels in names.items():
        view = a_view()
        view.count(name, *[LABELS[name] for _ in range(labels)])
        [(metric, value)] = commit(metrics, view).items()
        assert value == 1
        moved.append(metric)
    assert len(set(moved)) == len(names) > 10
    assert not [metric for metric in moved if "commands_total" in metric]


def test_no_metric_waits_for_a_name_that_nobody_counts(metrics: Metrics) -> None:
    """What the code no longer counts leaves the table too."""
    assert set(metrics.decisions) == {name for name, labels in counted() if not labels}


def test_applied_commands_are_counted_by_type(metrics: Metrics) -> None:
    """Under the labels that routers use."""
    view = a_view()
    view.applied[Register] += 2
    view.applied[Listen] += 1
    assert commit(metrics, view) == {
        "countermand_commands_total applied register": 2,
        "countermand_commands_total applied listen": 1,
    }


def test_repeated_and_refused_commands_are_not_applied(metrics: Metrics) -> None:
    """Each counts once, when it is decided."""
    view = a_view()
    request = Request(b"r" * 16, "somebody")
    commands = (Resume(request, "app-first"), Resume(request, "app-second"))
    batch = CommandBatch(
        topics=(Topic("requests", b"i" * 16),), entries=(Entry(0, 0, 7, 1, b"", commands),)
    )
    entries.decide_entry(view, batch, batch.entries[0], refused={1})
    entries.decide_entry(view, batch, batch.entries[0])
    assert commit(metrics, view) == {
        "countermand_commands_total applied resume": 1,
        "countermand_repeated_entries_total": 1,
    }


def gauge(metrics: Metrics, name: str) -> float | None:
    """What the page shows of partition 0."""
    return metrics.registry.get_sample_value(f"countermand_{name}", {"partition": "0"})


def test_a_watermark_ages_though_nothing_is_committed(metrics: Metrics) -> None:
    """Without routers nothing comes that a partition could commit."""
    now = [10_000]
    figures = Figures(metrics, 0, lambda: now[0])
    assert gauge(metrics, "watermark_age_seconds") == 0  # not known yet
    figures.ready(AppliedRow(watermark=9_000))
    assert gauge(metrics, "watermark_age_seconds") == 1
    now[0] = 70_000
    assert gauge(metrics, "watermark_age_seconds") == 61


def test_a_partition_is_unready_until_it_is_restored_and_from_its_end_on(metrics: Metrics) -> None:
    """However often it is tried meanwhile; once another process has it, it leaves the page."""
    now = [10_000]
    figures = Figures(metrics, 0, lambda: now[0])
    for _ in range(3):
        figures.starting()
        now[0] += 1_000
        figures.closed()
    assert (gauge(metrics, "unready_seconds"), figures.is_ready) == (3, False)
    figures.ready(AppliedRow())
    now[0] += 1_000
    assert (gauge(metrics, "unready_seconds"), figures.is_ready) == (0, True)
    figures.closed()
    now[0] += 2_000
    assert (gauge(metrics, "unready_seconds"), figures.is_ready) == (2, False)
    figures.gone()
    assert gauge(metrics, "unready_seconds") is None


def test_a_partition_that_stops_again_and_again_is_unready_all_the_time(metrics: Metrics) -> None:
    """It is ready for a moment in each life, until it meets the record that it can't read."""
    now = [10_000]
    figures = Figures(metrics, 0, lambda: now[0])
    figures.ready(AppliedRow())
    for _ in range(10):
        figures.closed()
        figures.stopped("commands/0@7 can't be read")
        now[0] += 30_000
        figures.starting()
        figures.ready(AppliedRow())
        now[0] += 1_000
    assert gauge(metrics, "unready_seconds") == 310
    assert figures.is_ready
    now[0] += 60_000  # somebody has told it to leave the record out
    assert gauge(metrics, "unready_seconds") == 0
    figures.closed()
    now[0] += 2_000
    assert gauge(metrics, "unready_seconds") == 2
    figures.ready(AppliedRow())
    assert gauge(metrics, "unready_seconds") == 0


@pytest.mark.parametrize("name", [("unheard_of",), ("runs_removed", "label"), ("runs",)])
def test_an_unknown_name_raises(metrics: Metrics, name: tuple[str, ...]) -> None:
    """It is not counted as something else."""
    view = a_view()
    view.count(*name)
    with pytest.raises(KeyError, match=name[0]):
        commit(metrics, view)
