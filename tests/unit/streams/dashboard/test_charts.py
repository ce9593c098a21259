"""Pictures are drawn from what the API answers, with a table behind."""

import re
from typing import Any

import pytest

from streams.dashboard.charts import Chart, Series, charts

MINUTES = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:05:00.000Z")


def point(minute: int, **changes: Any) -> dict[str, Any]:
    """What happened in a minute."""
    names = ("scheduled", "started", "completed", "failed", "skipped", "expired")
    found = {"at": f"2026-01-01T00:0{minute}:00.000Z", **dict.fromkeys(names, 0)}
    return found | {"cancelled": {}, "cancel_latency": None, "complete": True} | changes


def drawn(*points: dict[str, Any]) -> tuple[Chart, ...]:
    """The pictures of five minutes."""
    return charts({"step_ms": 60_000, "points": list(points)}, *MINUTES)


def test_what_is_drawn() -> None:
    """Each minute has its place, also those of which nothing is told."""
    latency = {"count": 2, "p50_ms": 10, "p99_ms": 250}
    cancelled = {"event": 2, "start_timeout": 1}
    runs, causes, latencies = drawn(
        point(1, started=4, completed=3), point(3, cancelled=cancelled, cancel_latency=latency)
    )
    assert runs.times == ("00:00", "00:01", "00:02", "00:03", "00:04")
    assert {line.name: line.values for line in runs.series} == {
        "started": (0, 4, 0, 0, 0),
        "completed": (0, 3, 0, 0, 0),
        "cancelled": (0, 0, 0, 3, 0),
        "failed": (0,) * 5,
        "expired": (0,) * 5,
        "skipped": (0,) * 5,
    }
    assert [line.name for line in causes.series] == ["event", "start timeout"]
    assert [line.values for line in latencies.series] == [
        (None, None, None, 10, None),
        (None, None, None, 250, None),
    ]


def test_gaps() -> None:
    """Minutes in which some may be missing are shaded, and say so in the table."""
    runs, *_ = drawn(point(2, complete=False))
    assert runs.gaps == {2}
    assert runs.svg().count('class="gap"') == 1
    assert [(time, gap) for time, _, gap in runs.rows()] == [("00:02", True)]


def test_nothing() -> None:
    """Nothing is drawn of nothing."""
    assert all(chart.is_empty for chart in drawn())


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (4_999, 5_000), (60_000, 100_000)]
)
def test_the_upper_edge(most: float, top: float) -> None:
    """It is a round number, and no line leaves the picture."""
    chart = Chart("t", "", ("a", "b"), frozenset(), (Series("s", (0, most)),))
    assert chart.top == top
    heights = [float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", str(chart.svg()))]
    assert min(heights) >= 10


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (1, ["0", "1"]),
        (2, ["0", "1", "2"]),
        (4_999, ["0", "1k", "2k", "3k", "4k", "5k"]),
        (60_000, ["0", "50k", "100k"]),
    ],
)
def test_the_lines_behind(most: float, labels: list[str]) -> None:
    """They stand at round numbers."""
    chart = Chart("t", "", ("a", "b"), frozenset(), (Series("s", (0, most)),))
    assert re.findall(r'"end">([^<]+)<', str(chart.svg())) == labels


def test_a_title_is_text() -> None:
    """What stands in a picture is escaped like all else."""
    chart = Chart('<b>"', "", ("a",), frozenset(), (Series("s", (1,)),))
    assert "<b>" not in chart.svg()
