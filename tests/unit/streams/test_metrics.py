"""Metrics: declared once, in base units, with bounded labels."""

import math
import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import LATENCY_BUCKETS, Metrics, metrics_page
from topology.statuses import Cause, Status

UNITS = ("_total", "_seconds", "_bytes", "_records", "_runs", "_info")


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of a process, without those of its platform."""
    return Metrics(CollectorRegistry())


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the page shows: value by name and labels."""
    body, content_type = metrics_page(metrics)
    assert content_type.startswith("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_names_say_whose_they_are_and_end_in_a_unit(metrics: Metrics) -> None:
    """Prometheus's naming: one prefix, base units, _total for counters."""
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        name = f"{name}_info" if family.type == "info" else name
        assert name.startswith("countermand_")
        assert name.endswith(UNITS), name
        assert family.documentation


def test_latency_buckets_go_from_a_millisecond_to_minutes() -> None:
    """They are in seconds, and grow."""
    assert LATENCY_BUCKETS[0] == 0.001
    assert LATENCY_BUCKETS[-1] >= 600
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))


def test_every_cause_and_status_is_on_the_page_from_the_start(metrics: Metrics) -> None:
    """An alert on a cause that hasn't happened yet needs its zero."""
    shown = samples(metrics)
    for cause in Cause:
        assert shown["countermand_cancels_total", (("cause", cause.value),)] == 0
    for status in Status:
        assert shown["countermand_runs_total", (("status", status.value),)] == 0


def test_a_revoked_partition_leaves_the_page(metrics: Metrics) -> None:
    """What another process owns now must not be shown twice."""
    partition, other = metrics.partition(3), metrics.partition(4)
    partition.pending_runs.set(7)
    other.pending_runs.set(1)
    assert samples(metrics)["countermand_pending_runs", (("partition", "3"),)] == 7
    partition.close()
    shown = {labels for _, labels in samples(metrics)}
    assert (("partition", "3"),) not in shown
    assert (("partition", "4"),) in shown


def test_lag_is_forgotten_with_its_source(metrics: Metrics) -> None:
    """The same for what a router reads."""
    metrics.source("events", 0, position=4, lag=9)
    labels = (("partition", "0"), ("topic", "events"))
    assert samples(metrics)["countermand_lag_records", labels] == 9
    assert samples(metrics)["countermand_position_records", labels] == 4
    metrics.forget_source("events", 0)
    assert labels not in {of for _, of in samples(metrics)}


@pytest.mark.parametrize(
    ("name", "label", "value"),
    [
        ("transactions_total", "outcome", "fenced"),
        ("read_model_batches_total", "outcome", "dropped"),
        ("read_model_refused_total", "stage", "database"),
        ("api_connections_ended_total", "reason", "too_many_connections"),
        ("worker_runs_ended_total", "outcome", "lost"),
    ],
)
def test_what_is_rare_is_on_the_page_from_the_start(
    metrics: Metrics, name: str, label: str, value: str
) -> None:
    """`increase` sees the first one of a process only if there was a zero before."""
    assert samples(metrics)[f"countermand_{name}", ((label, value),)] == 0


def test_the_page_tells_which_process_it_is() -> None:
    """Alerts and dashboards ask for it, whatever scrapers call the process."""
    [labels] = [
        dict(labels)
        for name, labels in samples(Metrics(CollectorRegistry(), process="router"))
        if name == "countermand_build_info"
    ]
    assert labels["process"] == "router"
    assert labels["version"]


def test_a_disk_is_measured_when_the_page_is_asked_for(metrics: Metrics, tmp_path: Path) -> None:
    """A folder that is gone breaks nothing else on the page."""
    folder = tmp_path / "state"
    folder.mkdir()
    metrics.watch_disk(folder)
    key = (("folder", str(folder)),)
    size, free = ("countermand_disk_size_bytes", key), ("countermand_disk_free_bytes", key)
    assert samples(metrics)[size] == shutil.disk_usage(folder).total
    assert 0 <= samples(metrics)[free] <= samples(metrics)[size]
    folder.rmdir()
    assert math.isnan(samples(metrics)[size])
    assert math.isnan(samples(metrics)[free])


def test_reasons_of_dead_letters_are_bounded(metrics: Metrics) -> None:
    """No input can grow the registry without end."""
    for number in range(200):
        metrics.dead_letter("router", f"reason {number}")
    shown = samples(metrics)
    reasons = {labels for name, labels in shown if name == "countermand_dead_letters_total"}
    assert len(reasons) == 51
    assert (
        shown["countermand_dead_letters_total", (("reason", "other"), ("stage", "router"))] == 150
    )


def test_a_transaction_is_timed(metrics: Metrics) -> None:
    """Also one that fails."""
    with pytest.raises(KeyError), metrics.timed_transaction():
        raise KeyError
    assert samples(metrics)["countermand_transaction_seconds_count", ()] == 1
