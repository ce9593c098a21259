"""Files that are made of others are as those are now: `make chart` writes them."""

from pathlib import Path

import pytest

from tests.deploy import chart_files
from tests.deploy.chart_files import DASHBOARDS, values_table
from tests.repo import tree

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
VALUES = """
image:
  # -- Where it is
  repository: countermand
# -- All of it
workers: {}
# -- Two
# lines
resources:
  limits: {memory: 1Gi}
"""


def test_what_is_made_of_other_files_is_up_to_date() -> None:
    """The table of values, names of settings, topics, copies, and the manifests in deploy/k8s."""
    made = dict(chart_files.made())
    found = {path: (tree.ROOT / path).read_text(encoding="utf-8") for path in made}
    assert [str(path) for path in made if found[path] != made[path]] == [], "run: make chart"


def test_no_dashboard_outlives_its_source() -> None:
    """What was once copied into the chart goes with its source."""
    copies = {path for path, _ in chart_files.copies()}
    kept = {path.relative_to(tree.ROOT) for path in (tree.ROOT / DASHBOARDS).glob("*")}
    assert kept <= copies


def test_the_table_has_a_row_for_each_value() -> None:
    """With its default; what is within a described value is part of its default."""
    assert list(values_table(VALUES)) == [
        ("image.repository", '"countermand"', "Where it is"),
        ("workers", "{}", "All of it"),
        ("resources", '{"limits": {"memory": "1Gi"}}', "Two lines"),
    ]


def test_a_value_without_a_description_is_found() -> None:
    """Nobody could know what it is for."""
    with pytest.raises(ValueError, match=r"kafka\.servers has no description"):
        list(values_table("kafka:\n  servers: none\n"))


def test_the_manifests_are_not_of_helm() -> None:
    """Nothing in them speaks of a release."""
    for path in (tree.ROOT / "deploy/k8s").glob("*.yaml"):
        if path.name != Path("values.yaml").name:
            text = path.read_text(encoding="utf-8")
            assert "helm.sh" not in text
            assert "Helm\n" not in text.split("\n", 1)[1]
