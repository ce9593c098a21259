"""The commands with which docs/kubernetes.md begins: what they name is there, a run is cancelled.

`make test-kubernetes` runs them as they are, on a cluster.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy import helm
from tests.repo import tree
from tests.support.cli import json_lines, json_of, run
from tests.support.worker import Backend

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
GUIDE = Path("docs/kubernetes.md")
COMMAND = re.compile(r"^(?:helm|kubectl) .*?(?=^(?:helm|kubectl) |\Z)", re.MULTILINE | re.DOTALL)
VALUES = re.compile(r"^cat > \w+\.yaml <<'END'\n(.*?)^END", re.MULTILINE | re.DOTALL)
IN_POD = re.compile(
    r"exec (?:-i )?(deploy/\S+) -c (\S+) -- countermand (.*?)(?: <<'END'\n(.*)END)?\n"
)


def commands() -> list[str]:
    """The commands of the first block."""
    text = (tree.ROOT / GUIDE).read_text(encoding="utf-8")
    return COMMAND.findall(text.partition("```sh\n")[2].partition("```")[0])


def in_pods() -> list[tuple[str, str, list[str], str]]:
    """Those that run in a pod: its workload, the container, the arguments, and the input."""
    found = (re.search(IN_POD.pattern, one, re.DOTALL) for one in commands())
    return [(one[1], one[2], one[3].split(), one[4] or "") for one in found if one]


def test_there_are_five() -> None:
    """An install, three in a pod, and the way to the dashboard."""
    assert len(commands()) == 5
    assert [words for *_, words, _ in in_pods()] == [
        ["functions", "apply", "-f", "-"],
        ["events", "send", "-f", "-"],
        ["keys", "create", "me", "--role", "admin"],
    ]


def test_what_they_name_is_what_the_chart_makes() -> None:
    """With the values that they give: workload, container, Service and its port."""
    install, *_, forward = commands()
    values = re.findall(r"--set (\S+)", install)
    options = [option for value in values for option in ("--set", value)]
    found = helm.objects(helm.rendered({}, *options, namespace="countermand"))
    for workload, container, *_ in in_pods():
        deployment = helm.of_kind(found, "Deployment")[workload.removeprefix("deploy/")]
        pod = deployment["spec"]["template"]["spec"]
        assert container in {one["name"] for one in pod["containers"]}
    service, port = re.findall(r"svc/(\S+) \d+:(\d+)", forward)[0]
    ports = helm.of_kind(found, "Service")[service]["spec"]["ports"]
    assert int(port) in {one["port"] for one in ports}


def test_the_values_that_it_shows_are_taken() -> None:
    """Those for workers and those for apps of Inngest's SDKs each add a process."""
    given = {"kafka": {"bootstrapServers": "kafka:9092"}, "database": {"existingSecret": "db"}}
    shown = VALUES.findall((tree.ROOT / GUIDE).read_text(encoding="utf-8"))
    made = [
        helm.of_kind(helm.objects(helm.rendered(given | yaml.safe_load(text))), "Deployment")
        for text in shown
    ]
    added = set().union(*made) - helm.of_kind(helm.case("postgresql"), "Deployment").keys()
    assert added == {"countermand-worker-reports", "countermand-inngest"}


def test_the_sizes_follow_from_the_measured_figures() -> None:
    """Those of the last line of `make bench`, as README.md has it."""
    readme = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    printed = re.search(r'^\{"events_per_s".*?^```$', readme, re.MULTILINE | re.DOTALL)
    assert printed is not None
    figures = json.loads(printed[0].removesuffix("```"))
    pending, speed = figures["pending_1m"], figures["events_per_s"]
    said = [
        f"{pending['bytes_per_run']} bytes on disk per run",
        f"{pending['joiner_rss_mib']} MiB of memory",
        f"{round(pending['restore_runs_per_s'], -2):,} runs restored per second",
        f"{pending['warm_restart_s']:.1f} s with the disk as it was",
        f"| a joiner | {round(speed['joiner'], -2):,} events/s",
        f"| a router | {round(speed['router'], -3):,} events/s",
        f"| a read model | {round(figures['read_model']['changes_per_s'], -2):,} changes/s",
    ]
    for runs in (100_000, 1_000_000, 10_000_000):
        small, large = (runs * (pending["bytes_per_run"] + event) / 1e9 for event in (300, 2_000))
        seconds = runs / pending["restore_runs_per_s"]
        restored = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        said.append(f"| {runs:,} | {small:.2g} GB | {large:.2g} GB | {restored} |")
    words = " ".join((tree.ROOT / GUIDE).read_text(encoding="utf-8").split())
    assert [one for one in said if one not in words] == []


@pytest.fixture
def backend(kafka: str, tmp_path: Path) -> Iterator[Backend]:
    """Router and joiner at work."""
    found = Backend(kafka, tmp_path)
    found.start()
    yield found
    found.close()


@pytest.mark.broker
@pytest.mark.slow
def test_they_end_with_a_cancelled_run(backend: Backend, tmp_path: Path) -> None:
    """Whatever the partitions of the two events, and a key for the dashboard is made."""
    settings = {
        "kafka_bootstrap_servers": backend.settings.kafka_bootstrap_servers,
        "topic_prefix": backend.settings.topic_prefix,
        "application_id": backend.settings.application_id,
        "state_dir": str(tmp_path / "state"),
    }
    for *_, words, text in in_pods():
        done = run(*words, stdin=text, **settings)
        assert done.exit_code == 0, done.output
    tail = ("cancelled", "tail", "--from-beginning", "--max", "1", "--timeout", "300", "--json")
    (cancelled,) = json_lines(run(*tail, **settings))
    assert cancelled["data"]["function_id"] == "reports-generate-report"
    assert [one["name"] for one in json_of(run("keys", "list", "--json", **settings))["keys"]] == [
        "me"
    ]
