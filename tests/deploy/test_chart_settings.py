"""The environment that the chart gives: settings that a process takes, and each of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.settings import Settings, load, variable
from streams.settings.model import is_secret
from tests.deploy import helm
from tests.deploy.chart_files import ELSEWHERE, OWNED
from tests.deploy.helm import CASES, CHART, Object
from tests.repo import tree

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
PREFIX = "COUNTERMAND_"
FILE = "_FILE"
# What processes of the chart find in files of Secrets.
SECRETS = "/etc/countermand/"


def own_variables(container: Object) -> dict[str, str]:
    """A container's variables of Countermand; that of the pod's name has a value of its own."""
    return {
        one["name"]: one.get("value", "countermand-joiner-0")
        for one in container.get("env", [])
        if one["name"].startswith(PREFIX)
    }


def environments() -> list[tuple[str, dict[str, str]]]:
    """The variables of every container of every case, and where it is."""
    return [
        (f"{case}: {name}", own_variables(container))
        for case in CASES
        for name, container in helm.containers(helm.case(case))
    ]


def test_a_process_takes_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting, and the settings go with each other."""
    secret = tmp_path / "secret"
    secret.write_text("postgresql://user:password@db/jobs", encoding="utf-8")
    for where, environment in environments():
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                mounted = name.endswith(FILE) and value.startswith(SECRETS)
                patched.setenv(name, str(secret) if mounted else value)
            settings = load()
        given = {name.removesuffix(FILE) for name in environment}
        fields = {field for field in Settings.model_fields if variable(field) in given}
        assert len(fields) == len(given), where
        assert all(settings.source(field) == "environment" for field in fields), where


def test_no_secret_stands_in_an_object() -> None:
    """Passwords and keys are files of Secrets, which no `kubectl describe` shows."""
    secrets = {variable(field) for field in Settings.model_fields if is_secret(field)}
    for where, environment in environments():
        for name in secrets & environment.keys():
            assert environment[name].startswith(SECRETS), f"{where}: {name}"


def test_files_that_settings_name_are_mounted() -> None:
    """Each path below the Secrets' folder is one that a volume of the pod puts there."""
    for case in CASES:
        for name, pod in helm.pods(helm.case(case)):
            for container in pod["spec"]["containers"]:
                named = {
                    value
                    for value in own_variables(container).values()
                    if value.startswith(SECRETS)
                }
                assert named == mounted_files(pod, container), f"{case}: {name}"


def mounted_files(pod: Object, container: Object) -> set[str]:
    """The files of Secrets that a container finds."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    found = set()
    for mount in container["volumeMounts"]:
        if not mount["mountPath"].startswith(SECRETS):
            continue
        volume = volumes[mount["name"]]
        sources: list[Any] = [
            source["secret"] for source in volume.get("projected", {}).get("sources", [])
        ] or [volume["secret"]]
        found |= {
            f"{mount['mountPath']}/{item['path']}" for one in sources for item in one["items"]
        }
    return found


def test_each_setting_can_be_reached() -> None:
    """By a value of the chart, by `settings`, or as a variable of a container."""
    schema = json.loads((tree.ROOT / CHART / "values.schema.json").read_text(encoding="utf-8"))
    free = set(schema["$defs"]["setting"]["enum"])
    by_values = {variable(field) for field in OWNED}
    elsewhere = {variable(field) for field in ELSEWHERE}
    assert free | by_values | elsewhere == set(map(variable, Settings.model_fields))
    given = {name.removesuffix(FILE) for _, found in environments() for name in found}
    assert by_values - given == set()


def test_settings_reach_the_processes_that_they_are_for() -> None:
    """Those of all, and those of one process, which win; large numbers stay numbers."""
    found = dict(helm.containers(helm.case("everything")))

    def value(place: str, name: str) -> str | None:
        return own_variables(found[place]).get(f"{PREFIX}{name}")

    router, joiner = "Deployment jobs-router, router", "StatefulSet jobs-joiner, joiner"
    worker, api = "Deployment jobs-worker-reports, worker", "Deployment jobs-api, api"
    assert value(router, "SESSION_TIMEOUT") == "8s"
    assert value(worker, "SESSION_TIMEOUT") == "10s"
    assert value(joiner, "SESSION_TIMEOUT") is None
    assert value(joiner, "ROCKSDB_MEMORY_MIB") == "512"
    assert value(worker, "WORKER_CONCURRENCY") == "20"
    assert value(router, "WORKER_CONCURRENCY") is None
    assert value(api, "API_BODY_LIMIT") == "4194304"
    assert value(api, "PUBLIC_URL") == "https://jobs.example.com"
    assert {value(place, "RETENTION_INPUTS") for place in (router, joiner, worker, api)} == {"3d"}


def test_a_setting_of_a_process_wins_also_where_it_is_false() -> None:
    """Helm's merges would take false for nothing."""
    values = {
        "kafka": {"bootstrapServers": "kafka:9092"},
        "settings": {"COUNTERMAND_DASHBOARD": True},
        "api": {"settings": {"COUNTERMAND_DASHBOARD": False}},
    }
    found = dict(helm.containers(helm.objects(helm.rendered(values))))
    variables = own_variables(found["Deployment countermand-api, api"])
    assert variables["COUNTERMAND_DASHBOARD"] == "false"


def test_topics_of_strimzi_follow_the_settings() -> None:
    """Retentions and counts are those that `countermand topics create` would use."""
    values = {
        "kafka": {"bootstrapServers": "kafka:9092"},
        "strimzi": {"cluster": "events", "topics": {"enabled": True}},
        "topics": {"partitions": 24, "replicationFactor": 2},
        "settings": {"COUNTERMAND_RETENTION_OUTPUTS": "90d"},
    }
    found = helm.of_kind(helm.objects(helm.rendered(values)), "KafkaTopic")
    cancelled, functions = (
        found[f"countermand-{name}"]["spec"] for name in ("cancelled", "functions")
    )
    assert (cancelled["partitions"], functions["partitions"]) == (24, 1)
    assert cancelled["config"]["retention.ms"] == 90 * 24 * 3600 * 1000
    assert found["countermand-events"]["spec"]["config"]["retention.ms"] == 7 * 24 * 3600 * 1000
    assert "min.insync.replicas" not in cancelled["config"]
    assert "Job" not in {one["kind"] for one in helm.objects(helm.rendered(values))}
