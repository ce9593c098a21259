"""The graph of topics and stages agrees with itself, and says what doesn't."""

import pytest
from msgspec.structs import replace

from topology import graph, topics
from topology.graph import Stage


def test_the_graph_contradicts_nothing() -> None:
    """As it is."""
    assert list(graph.problems()) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (replace(graph.READ_MODEL, reads=(topics.RUNS,)), "request-progress has no reader"),
        (replace(graph.API, writes=(topics.EVENTS,)), "requests has no writer"),
        (replace(graph.ROUTER, transactional=True), "commands must have contiguous offsets"),
        (
            replace(graph.JOINER, reads=(*graph.JOINER.reads, topics.FUNCTIONS)),
            "functions: joiner p writes partition p",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else None,
)
def test_a_contradiction_is_found(changed: Stage, problem: str) -> None:
    """A stage that was changed alone."""
    others = tuple(stage for stage in graph.STAGES if stage.name != changed.name)
    if changed.name == "API":
        others = tuple(stage for stage in others if stage is not graph.OPERATORS)
    with pytest.raises(ValueError, match=problem):
        graph.validate((*others, changed))


def test_writers_come_from_the_stages() -> None:
    """The text names those that write a topic, and no others."""
    lines = [line for line in graph.text().splitlines() if "written by" in line]
    assert len(lines) == len(topics.TOPICS)
    by_topic = {line.split()[0]: line.rpartition("written by ")[2].rstrip("]") for line in lines}
    assert by_topic["state"] == "joiner in transactions"
    assert by_topic["functions"] == "functions apply, API, your workers, inngest"
    assert by_topic["dead-letters"] == "router, joiner in transactions, your workers"


def test_the_drawing_has_every_arrow() -> None:
    """Also in both directions where a stage reads what it writes."""
    lines = graph.mermaid().splitlines()
    assert "  joiner <--> state" in lines
    assert "  dead_letters --> dead_letters_redrive" in lines
    for stage in graph.STAGES:
        drawn = stage.name.replace(" ", "_").replace("-", "_")
        arrows = sum(f" {drawn} " in f"{line} " for line in lines if "-->" in line)
        assert arrows == len({topic.name for topic in stage.reads + stage.writes})
