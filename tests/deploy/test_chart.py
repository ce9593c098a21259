"""The chart as Helm 3 and 4 see it: it renders, it lints, and its notes say what to do next."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy import helm
from tests.deploy.helm import CASES, CHART
from tests.repo import tree

# Where Helm isn't there yet, it is built first.
pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
NOTES = 'notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | quote }}\n'


def notes(folder: Path, case: str) -> str:
    """What Helm prints after an install; `helm template` leaves it out, so a template has it."""
    chart = folder / "chart"
    shutil.copytree(tree.ROOT / CHART, chart)
    (chart / "templates/shown.yaml").write_text(NOTES, encoding="utf-8")
    shown = helm.rendered(CASES[case], "--show-only", "templates/shown.yaml", chart=chart)
    return str(yaml.safe_load(shown)["notes"])


@pytest.mark.parametrize("name", CASES)
def test_it_lints(name: str) -> None:
    """Helm finds nothing to warn of, whatever the values."""
    said = helm.call("lint", "--strict", str(tree.ROOT / CHART), "--values", str(CASES[name]))
    assert "1 chart(s) linted, 0 chart(s) failed" in said


@pytest.mark.parametrize("name", CASES)
def test_helm_4_makes_the_same_of_it(name: str) -> None:
    """Both releases of Helm in use make the same objects."""
    assert helm.objects(helm.rendered(CASES[name], version=4)) == helm.case(name)


def test_no_two_objects_have_one_name() -> None:
    """The second of them would overwrite the first."""
    for name in CASES:
        found = [(one["kind"], one["metadata"]["name"]) for one in helm.case(name)]
        assert sorted(set(found)) == sorted(found), name


def test_what_stands_where_can_be_told_by_labels() -> None:
    """Each object says whose it is; pods are selected by what never changes."""
    changing = {"app.kubernetes.io/version", "helm.sh/chart"}
    for name in CASES:
        for one in helm.case(name):
            labels = one["metadata"]["labels"]
            assert labels["app.kubernetes.io/part-of"] == "countermand", one
            assert labels["app.kubernetes.io/component"], one
            if "selector" in one.get("spec", {}) and one["kind"] != "PodMonitor":
                selector = one["spec"]["selector"]
                chosen = selector.get("matchLabels", selector)
                assert not changing & set(chosen), one
        for place, pod in helm.pods(helm.case(name)):
            assert changing <= set(pod["metadata"]["labels"]), place


def test_the_version_is_the_projects() -> None:
    """The chart installs the image of this release."""
    chart = yaml.safe_load((tree.ROOT / CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (tree.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minimal", ["kubectl -n jobs port-forward svc/countermand-api 8420:8420", "SQLite"]),
        ("everything", ["open https://jobs.example.com and", "exec deploy/jobs-api -c api --"]),
        ("sqlite-without-disks", ["Joiners have no disks", "Its file is gone when the pod is"]),
        ("workers-only", ["Nobody is told if something goes wrong"]),
    ],
)
def test_the_notes_say_what_to_do_next(tmp_path: Path, name: str, said: list[str]) -> None:
    """With the names of this release, and what is missing in it."""
    shown = notes(tmp_path, name)
    assert [words for words in said if words not in shown] == []
