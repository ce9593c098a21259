"""The alerts and dashboards of `deploy/`, and Prometheus, which reads them."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from tests.support import promql

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "deploy/prometheus/rules.yaml"
RULES_TEST: Final = RULES.with_name("rules_test.yaml")
DASHBOARDS: Final = ROOT / "deploy/grafana"
# What a scraper says of a process, as Prometheus itself or as its operator does in Kubernetes.
TARGET_LABELS: Final = frozenset({"job", "instance", "namespace", "pod"})
# What Grafana puts into a query: everything, and a range that has some samples in it.
_VARIABLES: Final = {"$namespace": ".*", "$instance": ".*", "$__rate_interval": "1m"}


class Alert(NamedTuple):
    """One alert."""

    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Panel(NamedTuple):
    """One query of a panel, and what is shown of it."""

    dashboard: str
    title: str
    unit: str
    expr: str
    legend: str

    @property
    def query(self) -> str:
        """The query as Grafana sends it."""
        expr = self.expr
        for name, value in _VARIABLES.items():
            expr = expr.replace(name, value)
        return expr


@functools.cache
def promtool() -> Path:
    """Debian's promtool; `prometheus` lies beside it."""
    command = ["bash", str(ROOT / "deploy/promtool.sh")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def alerts() -> list[Alert]:
    """All alerts, in their order."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"])
        for group in groups
        for rule in group["rules"]
    ]


def dashboards() -> dict[str, dict[str, Any]]:
    """All dashboards, by the names of their files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in DASHBOARDS.glob("*.json")}


def panels() -> Iterator[Panel]:
    """The queries of all dashboards."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                unit = panel["fieldConfig"]["defaults"]["unit"]
                legend = target["legendFormat"]
                yield Panel(name, panel["title"], unit, target["expr"], legend)


def queries() -> dict[str, promql.Query]:
    """What alerts and panels ask for, by who asks."""
    asked = {alert.name: alert.expr for alert in alerts()}
    asked |= {f"{one.dashboard}: {one.title}: {one.expr}": one.query for one in panels()}
    return {who: promql.read(expr) for who, expr in asked.items()}
