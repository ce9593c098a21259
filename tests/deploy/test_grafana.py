"""Dashboards: whole, of one kind, and queries that Prometheus understands."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.metrics import Metrics
from tests.support import promql, watching
from tests.support.watching import Panel

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PROCESSES = {"router", "joiner", "read-model", "api", "worker"}
KINDS = {"row", "stat", "table", "timeseries"}
COLUMNS = 24
# Grafana's units by signs in a query, of which the first counts; without any it is a number.
UNITS = {
    r"/ (sum|countermand)": "percentunit",
    r"^60 \*": "cpm",
    r"^count[ (]|increase\(|cpu_seconds": "short",
    r"histogram_quantile|- time\(\)": "s",
    r"rate\(countermand_api": "reqps",
    r"rate\(": "ops",
    r"_bytes\{": "bytes",
    r"_seconds\{": "s",
}
SHOWN = re.compile(r"\{\{(\w+)\}\}")

each_dashboard = pytest.mark.parametrize(
    "dashboard", [pytest.param(one, id=name) for name, one in watching.dashboards().items()]
)
each_panel = pytest.mark.parametrize(
    "panel",
    [pytest.param(one, id=f"{one.dashboard}: {one.title}") for one in watching.panels()],
)


def test_there_is_one_for_on_call_and_one_for_each_process() -> None:
    """Each file is named as its dashboard is known to Grafana, and no two share a title."""
    found = watching.dashboards()
    assert set(found) == {"countermand-on-call"} | {f"countermand-{one}" for one in PROCESSES}
    assert {name: one["uid"] for name, one in found.items()} == {name: name for name in found}
    assert len({one["title"] for one in found.values()}) == len(found)


@each_dashboard
def test_a_dashboard_is_whole(dashboard: dict[str, Any]) -> None:
    """Grafana takes it as it is, and asks whoever imports it for a data source only."""
    assert dashboard["schemaVersion"] == 39
    assert dashboard["tags"] == ["countermand"]
    assert dashboard["description"]
    assert "id" not in dashboard  # of one Grafana
    source, *others = dashboard["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource", "datasource", "prometheus",
    )  # fmt: skip
    assert all(other["datasource"] == SOURCE for other in others)
    assert {"namespace"} <= {other["name"] for other in others} <= {"namespace", "instance"}
    ids = Counter(panel["id"] for panel in dashboard["panels"])
    assert [id_ for id_, times in ids.items() if times > 1] == []


@each_dashboard
def test_no_data_source_is_that_of_one_grafana(dashboard: dict[str, Any]) -> None:
    """Every one is the variable's."""
    assert [found for found in sources(dashboard) if found != SOURCE] == []


def sources(node: object) -> list[object]:
    """All data sources in a dashboard."""
    if isinstance(node, list):
        return [found for item in node for found in sources(item)]
    if not isinstance(node, dict):
        return []
    own = [node["datasource"]] if "datasource" in node else []
    return own + [found for value in node.values() for found in sources(value)]


@each_dashboard
def test_each_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    """In words, with a unit, and within the page."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["type"] in KINDS
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert place["x"] + place["w"] <= COLUMNS
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)


@each_panel
def test_a_panel_has_the_unit_of_its_query(panel: Panel) -> None:
    """Seconds are no bytes, and a rate is no number."""
    wanted = next((unit for sign, unit in UNITS.items() if re.search(sign, panel.expr)), "short")
    assert panel.unit == wanted, panel.expr


@each_panel
def test_a_legend_names_labels_that_the_query_leaves(panel: Panel) -> None:
    """Others would be empty."""
    query = promql.read(panel.query)
    if query.kept is not None:
        assert set(SHOWN.findall(panel.legend)) <= query.kept - {"le"}


@each_panel
def test_a_query_follows_the_variables(panel: Panel) -> None:
    """All that it asks for is of the chosen namespace, and of the chosen processes."""
    query = promql.read(panel.expr)
    for selector in query.selectors:
        chosen = {matcher.label: matcher.value for matcher in selector.matchers}
        assert chosen["namespace"] == "$namespace"
        of_one = panel.dashboard != "countermand-on-call"
        assert (chosen.get("instance") == "$instance") is of_one


@pytest.mark.network
def test_each_query_is_one_that_prometheus_reads(tmp_path: Path) -> None:
    """As promtool does, that of a rule."""
    rules = [
        {"record": f"a:{number}", "expr": one.query} for number, one in enumerate(watching.panels())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    command = [str(watching.promtool()), "check", "rules", str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_metric_is_on_a_dashboard() -> None:
    """What is counted is there to be looked at."""
    shown = {
        selector.metric
        for who, query in watching.queries().items()
        if ":" in who
        for selector in query.selectors
    }
    registry = CollectorRegistry()
    Metrics(registry)
    ends = {"counter": "_total", "histogram": "_bucket", "info": "_info"}
    declared = {family.name + ends.get(family.type, "") for family in registry.collect()}
    assert declared - shown == set()


@each_dashboard
def test_files_are_read_by_people(dashboard: dict[str, Any]) -> None:
    """Two spaces for each level, letters as they are: a change shows as what it is."""
    text = (watching.DASHBOARDS / f"{dashboard['uid']}.json").read_text("utf-8")
    assert json.loads(text) == dashboard
    assert "\\u" not in text
    assert text.endswith("}\n")
    assert max(map(len, text.splitlines())) < 600
